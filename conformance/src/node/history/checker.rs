//! Judges what was written and read. Pure: every time is of the one monotonic clock of the process that recorded it.

use std::{fmt, time::Duration};

use super::super::under_test::Freshness;

/// A write whose invalidation returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) key: usize,
    /// Of one key they rise in the order of the commits.
    pub(super) version: u64,
    /// The place of the node that was told; `None` for another program.
    pub(super) by: Option<usize>,
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
    pub(super) at: usize,
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

/// A read that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// It gave an older version than this write's, which it had to see.
    Stale {
        read: Read,
        expected: Write,
        rule: &'static str,
    },
    /// It gave a version that nobody had begun to write, or that was rolled back.
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

/// Everything that cannot be. `begun` holds writes whose commit did not return as well, and none that is known to have
/// been rolled back: to read such a one is a violation, and it would excuse every older version that was missed.
pub(super) fn violations(
    committed: &[Write],
    begun: &[Write],
    reads: &[Read],
    bounds: Bounds,
) -> Vec<Violation> {
    reads
        .iter()
        .filter_map(|read| judge(committed, begun, read, bounds))
        .collect()
}

fn judge(committed: &[Write], begun: &[Write], read: &Read, bounds: Bounds) -> Option<Violation> {
    let known = |write: &&Write| {
        write.key == read.key && write.version == read.version && write.begun <= read.ended
    };
    if read.version > 0 && begun.iter().find(known).is_none() {
        return Some(Violation::FromNowhere(*read));
    }
    let (bound, rule) = bounds.of(read.freshness);
    let own = |write: &Write| write.by == Some(read.at) && write.committed < read.began;
    let newer = committed
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

/// Whether the nodes converged soon enough after everything was whole again; `None` when they never did.
pub(super) fn converged(
    healed: Duration,
    last_seen: Option<Duration>,
    limit: Duration,
) -> Result<(), String> {
    match last_seen {
        None => Err(format!("they never converged, in {limit:?} and more")),
        Some(seen) if seen.saturating_sub(healed) > limit => Err(format!(
            "they converged {:?} after healing, and {limit:?} is the bound",
            seen.saturating_sub(healed)
        )),
        Some(_) => Ok(()),
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
                 at {:?} by {:?}",
                read.at,
                read.version,
                read.key,
                read.began,
                read.freshness,
                expected.version,
                expected.committed,
                expected.by
            ),
            Self::FromNowhere(read) => write!(
                f,
                "node {} read version {} of row {} at {:?}, which nobody had begun to write, or which was rolled back",
                read.at, read.version, read.key, read.ended
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

    /// By node 0, begun 10 ms before it was committed.
    const fn write(version: u64, committed: u64) -> Write {
        Write {
            key: 1,
            version,
            by: Some(0),
            begun: ms(committed - 10),
            committed: ms(committed),
        }
    }

    /// Of 5 ms.
    const fn read(version: u64, at: usize, freshness: Freshness, began: u64) -> Read {
        Read {
            key: 1,
            version,
            at,
            freshness,
            began: ms(began),
            ended: ms(began + 5),
        }
    }

    fn judged(reads: &[Read]) -> Vec<Violation> {
        let writes = [write(1, 100), write(2, 200)];
        violations(&writes, &writes, reads, BOUNDS)
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

    /// A version that nobody wrote, or that nobody had begun to write, is found; one whose commit never returned is
    /// not.
    #[test]
    fn a_version_from_nowhere_is_found() {
        assert_eq!(judged(&[read(3, 1, Freshness::Strict, 900)]).len(), 1);
        assert_eq!(judged(&[read(2, 1, Freshness::Strict, 184)]).len(), 1);
        let unknown = [write(3, 300)];
        let reads = [read(3, 1, Freshness::Strict, 900)];
        assert_eq!(violations(&[], &unknown, &reads, BOUNDS), []);
    }

    /// Another row's writes say nothing of this one's.
    #[test]
    fn rows_are_judged_apart() {
        let other = Write {
            key: 2,
            ..write(1, 100)
        };
        let reads = [read(0, 1, Freshness::Strict, 900)];
        assert_eq!(violations(&[other], &[other], &reads, BOUNDS), []);
    }

    /// Convergence that comes too late, or never, is found.
    #[test]
    fn a_missed_convergence_is_found() {
        assert!(converged(ms(100), Some(ms(200)), ms(100)).is_ok());
        assert!(converged(ms(100), Some(ms(90)), ms(100)).is_ok());
        assert!(converged(ms(100), Some(ms(201)), ms(100)).is_err());
        assert!(converged(ms(100), None, ms(100)).is_err());
    }
}
