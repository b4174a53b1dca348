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
