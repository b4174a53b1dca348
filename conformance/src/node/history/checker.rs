//! Judges what was written and read. Pure: every time is of the one monotonic clock of the process that recorded it.

use std::{fmt, time::Duration};

use super::super::under_test::Freshness;

/// A node: the process that ran, at its place, from one start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) place: usize,
    /// Which one of those that were started there.
    pub(super) number: u64,
}

/// A write whose invalidation returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) key: usize,
    /// Of one key they rise in the order of the commits.
    pub(super) version: u64,
    /// The node that was told; `None` for another program.
    pub(super) by: Option<Process>,
    /// Taken *before* the row was written.
    pub(super) begun: Duration,
    /// Taken *after* the commit returned, so that no read is judged by a commit that was still to come.
    pub(super) committed: Duration,
}

/// A read that gave a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) key: usize,
    pub(super) version: u64,
    pub(super) at: Process,
    pub(super) freshness: Freshness,
    /// Taken *before* the call.
    pub(super) began: Duration,
    /// Taken after it returned.
    pub(super) ended: Duration,
}

/// How stale reads may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) ttl: Duration,
    pub(super) max_staleness: Duration,
}

/// All writes of a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writes<'a> {
    /// Known to have happened.
    pub(super) committed: &'a [Write],
    /// Those, and all that may have happened: their commit did not return.
    pub(super) begun: &'a [Write],
    /// Rolled back, or forgotten, which is the same: never to be read, by nobody and at no time (`P2`).
    pub(super) undone: &'a [Write],
}

/// A read that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// It gave an older version than this write's, which it had to see.
    Stale {
        read: Read,
        expected: Write,
        rule: &'static str,
    },
    /// It gave a version that was rolled back.
    RolledBack(Read),
    /// It gave a version that nobody had begun to write.
    FromNowhere(Read),
}

impl Bounds {
    const fn of(&self, freshness: Freshness) -> (Duration, &'static str) {
        match freshness {
            Freshness::Eventual => (self.ttl, "its TTL"),
            Freshness::Bounded => (self.max_staleness, "P3, max_staleness"),
            Freshness::Strict => (Duration::ZERO, "P3, a strict read"),
        }
    }
}

/// Everything that cannot be.
pub(super) fn violations(writes: Writes<'_>, reads: &[Read], bounds: Bounds) -> Vec<Violation> {
    reads
        .iter()
        .filter_map(|read| judge(writes, read, bounds))
        .collect()
}

fn judge(writes: Writes<'_>, read: &Read, bounds: Bounds) -> Option<Violation> {
    let is_read = |write: &&Write| write.key == read.key && write.version == read.version;
    // First, since such a version would excuse every older one that was missed.
    if writes.undone.iter().any(|write| is_read(&write)) {
        return Some(Violation::RolledBack(*read));
    }
    let known = |write: &&Write| is_read(write) && write.begun <= read.ended;
    if read.version > 0 && writes.begun.iter().find(known).is_none() {
        return Some(Violation::FromNowhere(*read));
    }
    let (bound, rule) = bounds.of(read.freshness);
    let own = |write: &Write| write.by == Some(read.at) && write.committed < read.began;
    let newer = writes
        .committed
        .iter()
        .filter(|write| write.key == read.key && write.version > read.version);
    let missed = newer.filter_map(|write| {
        if write.committed + bound < read.began {
            Some((write, rule))
        } else {
            own(write).then_some((write, "P6, its own write"))
        }
    });
    let (expected, rule) = missed.max_by_key(|(write, _)| write.version)?;
    Some(Violation::Stale {
        read: *read,
        expected: *expected,
        rule,
    })
}

/// What one cache of one node had to come to read after everything was whole again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Awaited {
    pub(super) key: usize,
    pub(super) at: usize,
    pub(super) freshness: Freshness,
    /// The newest version that was committed.
    pub(super) version: u64,
    /// What was read last; `None` when reading failed.
    pub(super) read: Option<u64>,
    /// How long after the healing it had read that or a newer version, and served it from memory; `None` when that did
    /// not come.
    pub(super) seen: Option<Duration>,
    /// Why there was no more waiting, when it did not come.
    pub(super) why: Option<String>,
}

/// Whether every node converged soon enough after everything was whole again; if not, which did not.
pub(super) fn converged(awaited: &[Awaited], limit: Duration) -> Result<(), String> {
    let late: Vec<_> = awaited
        .iter()
        .filter(|awaited| awaited.seen.is_none_or(|seen| seen > limit))
        .map(|awaited| awaited.tell())
        .collect();
    if late.is_empty() {
        return Ok(());
    }
    Err(format!(
        "P20: {} of {} rows in caches did not converge within {limit:?} of healing:\n{}",
        late.len(),
        awaited.len(),
        late[..late.len().min(10)].join("\n")
    ))
}

impl Awaited {
    fn tell(&self) -> String {
        let Self {
            key,
            at,
            freshness,
            version,
            read,
            seen,
            why,
        } = self;
        let what = match (seen, read) {
            (Some(seen), _) => format!("after {seen:?}"),
            (None, Some(read)) if read < version => format!("still version {read}"),
            (None, Some(_)) => "and is not served from memory again".to_owned(),
            (None, None) => "could not be read".to_owned(),
        };
        let why = why
            .as_ref()
            .map_or_else(String::new, |why| format!(", {why}"));
        format!(
            "node {at}, {freshness:?} cache, row {key}: expected version {version}, {what}{why}"
        )
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale {
                read,
                expected,
                rule,
            } => write!(
                f,
                "{rule}: node {} read version {} of row {} at {:?} from its {:?} cache, and version {} was committed \
                 at {:?} by {}",
                read.at.place,
                read.version,
                read.key,
                read.began,
                read.freshness,
                expected.version,
                expected.committed,
                match expected.by {
                    Some(process) => format!("node {}", process.place),
                    None => "another program".to_owned(),
                }
            ),
            Self::RolledBack(read) => write!(
                f,
                "P2: node {} read version {} of row {} at {:?}, which was rolled back",
                read.at.place, read.version, read.key, read.ended
            ),
            Self::FromNowhere(read) => write!(
                f,
                "node {} read version {} of row {} at {:?}, which nobody had begun to write",
                read.at.place, read.version, read.key, read.ended
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        ttl: ms(1_000),
        max_staleness: ms(100),
    };

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The first one at this place.
    const fn node(place: usize) -> Process {
        Process { place, number: 1 }
    }

    /// By node 0, begun 10 ms before it was committed.
    const fn write(version: u64, committed: u64) -> Write {
        Write {
            key: 1,
            version,
            by: Some(node(0)),
            begun: ms(committed - 10),
            committed: ms(committed),
        }
    }

    /// Of 5 ms.
    const fn read(version: u64, at: usize, freshness: Freshness, began: u64) -> Read {
        Read {
            key: 1,
            version,
            at: node(at),
            freshness,
            began: ms(began),
            ended: ms(began + 5),
        }
    }

    fn judged(reads: &[Read]) -> Vec<Violation> {
        let writes = [write(1, 100), write(2, 200)];
        violations(all(&writes), reads, BOUNDS)
    }

    /// All of them committed.
    const fn all(committed: &[Write]) -> Writes<'_> {
        Writes {
            committed,
            begun: committed,
            undone: &[],
        }
    }

    /// A stale read is found in each cache, and the newest write that it missed is named.
    #[test]
    fn a_stale_read_is_found() {
        for (freshness, began) in [
            (Freshness::Strict, 201),
            (Freshness::Bounded, 301),
            (Freshness::Eventual, 1_201),
        ] {
            let read = read(0, 1, freshness, began);
            let found = judged(&[read]);
            let [Violation::Stale { expected, .. }] = found[..] else {
                panic!("one stale read was expected, and found {found:?}");
            };
            assert_eq!(expected.version, 2);
        }
    }

    /// A read at its bound is legal, and so is one that is newer than it must be.
    #[test]
    fn a_legal_read_is_accepted() {
        let legal = [
            read(1, 1, Freshness::Strict, 200),
            read(2, 1, Freshness::Strict, 201),
            read(1, 1, Freshness::Bounded, 300),
            read(1, 1, Freshness::Eventual, 1_200),
            read(2, 1, Freshness::Strict, 190), // Written, and not told yet.
        ];
        assert_eq!(judged(&legal), []);
    }

    /// A write that is under way while the read is may be seen or not.
    #[test]
    fn a_concurrent_write_is_tolerated() {
        let concurrent = [
            read(1, 1, Freshness::Strict, 195),
            read(2, 1, Freshness::Strict, 195),
        ];
        assert_eq!(judged(&concurrent), []);
    }

    /// A node's own write binds it at once, whatever the bound.
    #[test]
    fn an_own_write_that_was_missed_is_found() {
        let found = judged(&[read(1, 0, Freshness::Eventual, 201)]);
        assert!(matches!(found[..], [Violation::Stale { rule, .. }] if rule.starts_with("P6")));
        assert_eq!(judged(&[read(1, 1, Freshness::Eventual, 201)]), []);
    }

    /// It binds that node alone, and not the one that was started in its place meanwhile.
    #[test]
    fn a_write_of_a_node_that_ended_is_not_its_successor_s_own() {
        let successor = Process {
            place: 0,
            number: 2,
        };
        let read = read(1, 0, Freshness::Eventual, 201);
        let by_successor = Read {
            at: successor,
            ..read
        };
        assert_eq!(judged(&[by_successor]), []);
        assert_eq!(judged(&[read]).len(), 1);
    }

    /// A version that nobody wrote, or that nobody had begun to write, is found; one whose commit never returned is
    /// not.
    #[test]
    fn a_version_from_nowhere_is_found() {
        assert_eq!(judged(&[read(3, 1, Freshness::Strict, 900)]).len(), 1);
        assert_eq!(judged(&[read(2, 1, Freshness::Strict, 184)]).len(), 1);
        let unknown = Writes {
            committed: &[],
            begun: &[write(3, 300)],
            undone: &[],
        };
        let reads = [read(3, 1, Freshness::Strict, 900)];
        assert_eq!(violations(unknown, &reads, BOUNDS), []);
    }

    /// A version that was rolled back is found in every cache, while it is written and ever after, and does not pass
    /// for one that is newer than it must be.
    #[test]
    fn a_rolled_back_version_is_found() {
        let committed = [write(1, 100), write(2, 200), write(4, 400)];
        let writes = Writes {
            undone: &[write(3, 300)],
            ..all(&committed)
        };
        for freshness in Freshness::ALL {
            for began in [285, 300, 900] {
                let read = read(3, 1, freshness, began);
                let found = violations(writes, &[read], BOUNDS);
                assert_eq!(found, [Violation::RolledBack(read)]);
                let text = found[0].to_string();
                assert!(
                    text.contains("P2") && text.contains("rolled back"),
                    "{text}"
                );
            }
        }
        let around = [
            read(2, 1, Freshness::Strict, 350),
            read(4, 1, Freshness::Strict, 401),
        ];
        assert_eq!(violations(writes, &around, BOUNDS), []);
    }

    /// Another row's writes say nothing of this one's.
    #[test]
    fn rows_are_judged_apart() {
        let other = Write {
            key: 2,
            ..write(1, 100)
        };
        let reads = [read(0, 1, Freshness::Strict, 900)];
        assert_eq!(violations(all(&[other]), &reads, BOUNDS), []);
    }

    fn awaited(read: Option<u64>, seen: Option<Duration>) -> Awaited {
        Awaited {
            key: 3,
            at: 2,
            freshness: Freshness::Eventual,
            version: 7,
            read,
            seen,
            why: seen.is_none().then(|| "and it idles".to_owned()),
        }
    }

    /// Convergence in time is accepted.
    #[test]
    fn a_convergence_in_time_is_accepted() {
        let seen = [0, 100].map(|after| awaited(Some(7), Some(ms(after))));
        assert_eq!(converged(&seen, ms(100)), Ok(()));
    }

    /// Convergence that comes too late, or never, is found, and the text says where and what is missing.
    #[test]
    fn a_missed_convergence_is_found() {
        for (missed, says) in [
            (awaited(Some(7), Some(ms(101))), "after 101ms"),
            (awaited(Some(6), None), "still version 6, and it idles"),
            (awaited(Some(7), None), "not served from memory"),
            (awaited(None, None), "could not be read"),
        ] {
            let seen = [awaited(Some(7), Some(ms(100))), missed];
            let text = converged(&seen, ms(100)).expect_err("it is late");
            for part in ["1 of 2", "node 2", "Eventual", "row 3", "version 7", says] {
                assert!(text.contains(part), "{part:?} in {text}");
            }
        }
    }
}
