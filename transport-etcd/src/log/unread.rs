//! What this handle appended and has not read yet.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::{
    cursor::{Mark, Witness},
    meta::Identity,
};

/// How many appends are remembered; beyond that the oldest are forgotten.
const MOST: usize = 1_024;

/// An append that was there, of a log that was this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) identity: Identity,
    pub(crate) witness: Witness,
}

/// The appends of this handle that were acknowledged, until a read has passed them, whose cursor remembers them from then
/// on.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    appends: VecDeque<Seen>,
    /// The number of the first of them, counted from the making of the handle.
    first: u64,
}

/// Those that were acknowledged before a read began, which therefore has to find them.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) appends: Vec<Seen>,
    /// The number of the next one.
    end: u64,
}

impl Unread {
    pub(crate) fn acknowledged(&self, append: Seen) {
        let mut kept = self.kept.lock();
        kept.appends.push_back(append);
        if kept.appends.len() > MOST {
            kept.appends.pop_front();
            kept.first += 1;
        }
    }

    pub(crate) fn before(&self) -> Before {
        let kept = self.kept.lock();
        Before {
            appends: kept.appends.iter().copied().collect(),
            end: kept.first + kept.appends.len() as u64,
        }
    }

    /// A read found them, and its cursor is `mark` now.
    pub(crate) fn passed(&self, before: &Before, mark: &Mark) {
        self.forget(before, |append| {
            append.identity != mark.identity || append.witness.place.revision <= mark.at.revision
        });
    }

    /// A gap was told, which all of them are behind.
    pub(crate) fn flushed(&self, before: &Before) {
        self.forget(before, |_| true);
    }

    /// From the oldest on, since they were acknowledged in their order.
    fn forget(&self, before: &Before, is_done: impl Fn(&Seen) -> bool) {
        let mut kept = self.kept.lock();
        while kept.first < before.end && kept.appends.front().is_some_and(&is_done) {
            kept.appends.pop_front();
            kept.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ring::Place, *};
    use crate::log::cursor::Passed;

    const IDENTITY: Identity = Identity {
        cluster: 1,
        epoch: [2; 16],
        created: 3,
    };

    fn seen(revision: i64) -> Seen {
        Seen {
            identity: IDENTITY,
            witness: Witness {
                place: Place { revision, id: 1 },
                ring: 0,
            },
        }
    }

    fn at(revision: i64) -> Mark {
        let Seen { identity, witness } = seen(revision);
        Mark {
            identity,
            at: witness.place,
            version: 1,
            passed: Passed::Whole,
            witness,
        }
    }

    fn revisions(unread: &Unread) -> Vec<i64> {
        let appends = unread.before().appends.into_iter();
        appends
            .map(|append| append.witness.place.revision)
            .collect()
    }

    /// P10: an append is remembered until a read that began after it has passed it.
    #[test]
    fn p10_only_what_was_passed_is_forgotten() {
        let unread = Unread::default();
        unread.acknowledged(seen(5));
        unread.acknowledged(seen(6));
        let before = unread.before();
        unread.acknowledged(seen(7));
        unread.passed(&before, &at(5));
        assert_eq!(revisions(&unread), [6, 7]);
        unread.passed(&before, &at(9));
        assert_eq!(revisions(&unread), [7]);
        unread.flushed(&before);
        assert_eq!(revisions(&unread), [7]);
        unread.flushed(&unread.before());
        assert!(revisions(&unread).is_empty());
    }

    /// Who never reads remembers no more than that.
    #[test]
    fn there_is_an_end_to_remembering() {
        let unread = Unread::default();
        let before = unread.before();
        for _ in 0..=MOST {
            unread.acknowledged(seen(5));
        }
        unread.flushed(&before);
        assert_eq!(revisions(&unread).len(), MOST);
    }
}
