//! What was committed, and what every read is judged by.

use std::{collections::BTreeMap, time::Duration};

use crate::protocol::{Commit, Reads};

/// Every committed write, in the order of each row's versions.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By row and version.
    commits: BTreeMap<(i64, i64), Recorded>,
    /// What cannot be: a version that was committed twice.
    pub(crate) faults: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Recorded {
    commit: Commit,
    act: usize,
}

/// The first version of each row, which the parent wrote before any node started.
const FIRST: i64 = 1;

/// A read, or several, that gave a version which was superseded too long before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooStale {
    pub(crate) key: i64,
    pub(crate) version: i64,
    /// Reads that began after this are beyond the bound.
    pub(crate) after: u64,
    /// The staleness of the worst one.
    pub(crate) staleness: Duration,
}

/// What the reads of one node process come to.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) too_stale: Vec<TooStale>,
    pub(crate) faults: Vec<String>,
    /// The worst staleness of each act's writes.
    pub(crate) worst: BTreeMap<usize, Duration>,
}

impl History {
    pub(crate) fn record(&mut self, act: usize, commit: Commit) {
        let recorded = Recorded { commit, act };
        let known = self.commits.insert((commit.key, commit.version), recorded);
        if known.is_some() {
            self.faults.push(format!(
                "version {} of row {} was committed twice",
                commit.version, commit.key
            ));
        }
    }

    pub(crate) fn writes(&self) -> u64 {
        self.commits.len() as u64
    }

    pub(crate) fn writes_of(&self, act: usize) -> usize {
        self.commits.values().filter(|one| one.act == act).count()
    }

    /// The newest version of a row.
    pub(crate) fn newest(&self, key: i64) -> i64 {
        let versions = self.commits.range((key, 0)..=(key, i64::MAX));
        versions.last().map_or(FIRST, |((_, version), _)| *version)
    }

    /// Judges all reads of one process. Only when every commit is recorded: a version that is superseded by a
    /// commit not recorded yet would look like the newest.
    pub(crate) fn judge(&self, reads: &Reads, bound: Duration) -> Judgement {
        let mut judgement = Judgement {
            faults: reads.faults.clone(),
            ..Judgement::default()
        };
        for read in &reads.versions {
            let (key, version) = (read.key, read.version);
            match self.commits.get(&(key, version)) {
                Some(known) if read.first_end < known.commit.begun => judgement.faults.push(
                    format!("version {version} of row {key} was read before it was committed"),
                ),
                None if version != FIRST => judgement.faults.push(format!(
                    "version {version} of row {key} was read and never committed"
                )),
                _ => {}
            }
            let Some(next) = self.commits.get(&(key, version + 1)) else {
                continue;
            };
            // The longest that any read began after the version was superseded.
            let superseded = next.commit.committed;
            let staleness = Duration::from_nanos(read.last_start.saturating_sub(superseded));
            let worst = judgement.worst.entry(next.act).or_default();
            *worst = staleness.max(*worst);
            if staleness > bound {
                judgement.too_stale.push(TooStale {
                    key,
                    version,
                    after: superseded + u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX),
                    staleness,
                });
            }
        }
        judgement
    }

    /// Whether the table holds what the history says.
    pub(crate) fn check_table(&mut self, versions: &[(i64, i64)]) {
        for (key, version) in versions {
            let newest = self.newest(*key);
            if newest != *version {
                self.faults.push(format!(
                    "row {key} is at version {version} in the database, and version {newest} was the last committed"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::VersionReads;

    const MS: u64 = 1_000_000;
    const BOUND: Duration = Duration::from_millis(10);

    /// Row 1 at version 2 from 100 ms on, and at version 3 from 200 ms on.
    fn history() -> History {
        let mut history = History::default();
        for (version, at) in [(2, 100), (3, 200)] {
            let commit = Commit {
                key: 1,
                version,
                begun: (at - 1) * MS,
                committed: at * MS,
            };
            history.record(1, commit);
        }
        history
    }

    /// Version `version` of row 1, read from `first` to `last`.
    fn judge(version: i64, first: u64, last: u64) -> Judgement {
        let reads = Reads {
            count: 2,
            versions: vec![VersionReads {
                key: 1,
                version,
                first_end: first * MS,
                last_start: last * MS,
            }],
            faults: Vec::new(),
        };
        history().judge(&reads, BOUND)
    }

    /// P3: a read that began later than the bound after its version was superseded is found; one at the bound is not.
    #[test]
    fn a_read_beyond_the_bound_is_found() {
        assert!(judge(2, 100, 210).too_stale.is_empty());
        let judged = judge(2, 100, 211);
        assert_eq!(
            judged.too_stale,
            [TooStale {
                key: 1,
                version: 2,
                after: 210 * MS,
                staleness: Duration::from_millis(11),
            }]
        );
        assert_eq!(judged.worst[&1], Duration::from_millis(11));
        // The first version is judged as well, and the newest is never stale.
        assert_eq!(judge(1, 1, 111).too_stale.len(), 1);
        assert!(judge(3, 200, 9_999).too_stale.is_empty());
    }

    /// A version that nobody committed, or that was not committed yet, is found.
    #[test]
    fn a_version_from_nowhere_is_found() {
        assert_eq!(judge(4, 300, 300).faults.len(), 1);
        assert_eq!(judge(2, 98, 100).faults.len(), 1);
        assert_eq!(judge(2, 99, 100).faults.len(), 0);
    }

    /// A write that the table lost, or that was made twice, is found.
    #[test]
    fn a_history_that_cannot_be_is_found() {
        let mut history = history();
        history.check_table(&[(1, 3), (2, 1)]);
        assert!(history.faults.is_empty());
        history.check_table(&[(1, 2)]);
        assert_eq!(history.faults.len(), 1);
        let again = Commit {
            key: 1,
            version: 3,
            begun: 0,
            committed: 0,
        };
        history.record(1, again);
        assert_eq!(history.faults.len(), 2);
    }
}
