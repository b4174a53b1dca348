//! What this handle has read lately, to tell which positions a cursor has passed.
//!
//! Sequence numbers alone cannot: after a restore they are used again, and the stream's time of creation stays. So a cursor
//! covers a position only if this handle read both messages, one after the other, in one unbroken run.

use std::collections::VecDeque;

use invalidation_core::{Cursor, LogIdentity, Position};
use parking_lot::Mutex;

use super::cursor::{Mark, Place, Read};

/// How many messages are remembered. Of one further back it is not known whether it was passed.
const MOST: usize = 4_096;

/// The newest messages that were read in a row.
#[derive(Debug, Default)]
pub(super) struct Passed(Mutex<Option<Run>>);

#[derive(Debug)]
struct Run {
    identity: LogIdentity,
    /// The sequence of the first.
    first: u64,
    fingerprints: VecDeque<u64>,
}

impl Passed {
    /// A reader went from one mark on to messages with these sequences and fingerprints, in order and without a hole.
    pub(super) fn went(&self, from: &Mark, messages: impl Iterator<Item = (u64, u64)>) {
        let mut run = self.0.lock();
        let identity = from.identity.to_word();
        let goes_on = run.as_ref().is_some_and(|run| {
            run.identity == identity
                && from
                    .witness
                    .is_some_and(|witness| run.at(from.sequence) == Some(witness.fingerprint))
        });
        if !goes_on {
            *run = None;
        }
        let run = run.get_or_insert_with(|| Run {
            identity,
            first: from.sequence,
            fingerprints: from
                .witness
                .iter()
                .map(|witness| witness.fingerprint)
                .collect(),
        });
        if run.fingerprints.is_empty() {
            run.first = from.sequence + 1;
        }
        for (sequence, fingerprint) in messages {
            if sequence == run.end() {
                run.fingerprints.push_back(fingerprint);
            }
        }
        while run.fingerprints.len() > MOST {
            run.fingerprints.pop_front();
            run.first += 1;
        }
    }

    /// The past may be another one.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }

    /// Whether the cursor has passed the position, as far as is known.
    pub(super) fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        let run = self.0.lock();
        let (Some(run), Some(mark), Some(place)) = (
            run.as_ref(),
            Mark::from_cursor(cursor),
            Place::from_bytes(&position.at),
        ) else {
            return false;
        };
        let is_behind = match mark.read {
            Read::All => place.sequence <= mark.sequence,
            Read::First(entries) => {
                place.sequence < mark.sequence
                    || place.sequence == mark.sequence && place.index < entries
            }
        };
        let stands = mark.witness.map(|witness| witness.fingerprint);
        is_behind
            && run.identity == position.identity
            && run.identity == mark.identity.to_word()
            && stands.is_some()
            && run.at(mark.sequence) == stands
            && run.at(place.sequence) == Some(place.fingerprint)
    }
}

impl Run {
    fn end(&self) -> u64 {
        self.first + self.fingerprints.len() as u64
    }

    fn at(&self, sequence: u64) -> Option<u64> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.fingerprints.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{
        cursor::{Identity, Witness},
        moment::Moment,
    };

    fn mark(sequence: u64, fingerprint: u64) -> Mark {
        Mark {
            identity: Identity {
                stream: 1,
                created: Moment(1),
            },
            sequence,
            read: Read::All,
            witness: Some(Witness {
                fingerprint,
                stored: Moment(0),
            }),
        }
    }

    fn position(sequence: u64, index: u32, fingerprint: u64) -> Position {
        let identity = mark(0, 0).identity.to_word();
        Place {
            sequence,
            index,
            fingerprint,
        }
        .to_position(&identity)
    }

    /// P1, P10: a position is covered if it was read on the way to the cursor, and in no other case.
    #[test]
    fn only_what_was_read_on_the_way_is_covered() {
        let passed = Passed::default();
        let covers = |mark: &Mark, position| passed.covers(&mark.to_cursor(), &position);
        assert!(!covers(&mark(5, 50), position(5, 0, 50)));
        passed.went(&mark(5, 50), [(6, 60), (7, 70)].into_iter());
        assert!(covers(&mark(7, 70), position(6, 3, 60)));
        assert!(covers(&mark(6, 60), position(6, 0, 60)));
        assert!(!covers(&mark(6, 60), position(7, 0, 70)), "it is ahead");
        assert!(
            !covers(&mark(7, 70), position(6, 0, 61)),
            "another stands there"
        );
        assert!(
            !covers(&mark(7, 71), position(6, 0, 60)),
            "a cursor of another past"
        );
        assert!(!covers(&mark(7, 70), position(4, 0, 40)), "it was not read");
        let partial = Mark {
            read: Read::First(2),
            ..mark(7, 70)
        };
        assert!(covers(&partial, position(7, 1, 70)));
        assert!(!covers(&partial, position(7, 2, 70)));
        // A cursor that does not go on from there begins another run.
        passed.went(&mark(6, 61), [(7, 71)].into_iter());
        assert!(!covers(&mark(7, 71), position(6, 0, 60)));
        assert!(covers(&mark(7, 71), position(6, 0, 61)));
        passed.forget();
        assert!(!covers(&mark(7, 71), position(6, 0, 61)));
    }

    /// What is kept is bounded.
    #[test]
    fn old_messages_are_forgotten() {
        let passed = Passed::default();
        let most = MOST as u64;
        passed.went(
            &mark(1, 1),
            (2..=most + 10).map(|sequence| (sequence, sequence)),
        );
        let end = mark(most + 10, most + 10).to_cursor();
        assert!(passed.covers(&end, &position(11, 0, 11)));
        assert!(!passed.covers(&end, &position(10, 0, 10)));
    }
}
