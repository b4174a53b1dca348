//! Position and cursor as bytes.

use bytes::Bytes;
use invalidation_core::{Cursor, LogIdentity, Position};

use super::{meta::Identity, ring::Place};

/// How far a reader has read: through an append, or into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) identity: Identity,
    /// The newest append that it has begun with; the making of the log before the first.
    pub(crate) at: Place,
    /// The version that the key `newest` had then, which the server counts: one more with each append.
    pub(crate) version: i64,
    pub(crate) passed: Passed,
    /// The newest append that was still there when this was made. That of `at`, unless somebody deleted that by hand.
    pub(crate) witness: Witness,
}

/// An append that was there, and in which ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Witness {
    pub(crate) place: Place,
    pub(crate) ring: u32,
}

impl Witness {
    /// Where no ring was.
    pub(crate) const NONE: Self = Self {
        place: Place { revision: 0, id: 0 },
        ring: 0,
    };
}

/// How much of its last append a mark has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    Whole,
    /// So many of its entries.
    Some(u32),
}

impl Mark {
    const FORMAT: u8 = 1;
    const BYTES: usize = 1 + Identity::BYTES + 16 + 8 + 4 + 16 + 4;

    pub(crate) fn to_cursor(self) -> Cursor {
        let passed = match self.passed {
            Passed::Whole => u32::MAX,
            Passed::Some(entries) => entries,
        };
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.push(Self::FORMAT);
        bytes.extend_from_slice(&self.identity.to_bytes());
        bytes.extend_from_slice(&self.at.to_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&passed.to_be_bytes());
        bytes.extend_from_slice(&self.witness.place.to_bytes());
        bytes.extend_from_slice(&self.witness.ring.to_be_bytes());
        Cursor::from_bytes(bytes)
    }

    /// `None` for anything that [`to_cursor`](Self::to_cursor) does not make.
    pub(crate) fn from_cursor(cursor: &Cursor) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = cursor.as_bytes().as_ref().try_into().ok()?;
        let (&[format], rest) = bytes.split_first_chunk()?;
        let (identity, rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (&version, rest) = rest.split_first_chunk()?;
        let (&passed, rest) = rest.split_first_chunk()?;
        let (witness, rest) = rest.split_first_chunk()?;
        let witness = Witness {
            place: Place::from_bytes(witness)?,
            ring: u32::from_be_bytes(rest.try_into().ok()?),
        };
        let mark = Self {
            identity: Identity::from_bytes(identity)?,
            at: Place::from_bytes(at)?,
            version: i64::from_be_bytes(version),
            passed: match u32::from_be_bytes(passed) {
                u32::MAX => Passed::Whole,
                entries => Passed::Some(entries),
            },
            witness,
        };
        let is_possible = mark.witness.place.revision <= mark.at.revision && mark.version > 0;
        (format == Self::FORMAT && is_possible).then_some(mark)
    }

    /// Whether this has passed `position`. What it cannot prove, it denies: an earlier append may have been one of a past
    /// that was lost in a restore.
    pub(crate) fn covers(&self, position: &Position) -> bool {
        position.identity == self.identity.to_word()
            && read(position).is_some_and(|(id, index)| {
                id == self.at.id
                    && match self.passed {
                        Passed::Whole => true,
                        Passed::Some(entries) => index < entries,
                    }
            })
    }
}

impl Place {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.revision.to_be_bytes());
        bytes[8..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; 16]) -> Option<Self> {
        let (&revision, rest) = bytes.split_first_chunk()?;
        let revision = i64::from_be_bytes(revision);
        (revision >= 0).then_some(Self {
            revision,
            id: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// Where the entry of this index stands: in the append of this id, which is known before its revision is.
pub(crate) fn position(identity: LogIdentity, id: u64, index: u32) -> Position {
    let mut at = Vec::with_capacity(12);
    at.extend_from_slice(&id.to_be_bytes());
    at.extend_from_slice(&index.to_be_bytes());
    Position {
        identity,
        at: at.into(),
    }
}

/// The positions of all entries of an append.
pub(crate) fn positions(identity: Identity, id: u64, entries: usize) -> Vec<Position> {
    let identity = identity.to_word();
    (0..)
        .take(entries)
        .map(|index| position(identity.clone(), id, index))
        .collect()
}

fn read(position: &Position) -> Option<(u64, u32)> {
    let bytes: &[u8; 12] = Bytes::as_ref(&position.at).try_into().ok()?;
    let (&id, rest) = bytes.split_first_chunk()?;
    let index = u32::from_be_bytes(rest.try_into().ok()?);
    Some((u64::from_be_bytes(id), index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(passed: Passed) -> Mark {
        Mark {
            identity: Identity {
                cluster: 1,
                epoch: [2; 16],
                created: 3,
            },
            at: Place {
                revision: 40,
                id: u64::MAX,
            },
            version: 5,
            passed,
            witness: Witness {
                place: Place {
                    revision: 39,
                    id: 6,
                },
                ring: 7,
            },
        }
    }

    #[test]
    fn cursors_come_back() {
        for passed in [Passed::Whole, Passed::Some(0), Passed::Some(7)] {
            let mark = mark(passed);
            assert_eq!(Mark::from_cursor(&mark.to_cursor()), Some(mark));
        }
        for bytes in [
            Vec::new(),
            vec![1],
            vec![0; Mark::BYTES],
            vec![9; Mark::BYTES],
        ] {
            assert_eq!(Mark::from_cursor(&Cursor::from_bytes(bytes)), None);
        }
    }

    /// P10: only what is proven to be of this past is covered.
    #[test]
    fn p10_only_the_same_append_is_covered() {
        let (whole, part) = (mark(Passed::Whole), mark(Passed::Some(1)));
        let (identity, id) = (whole.identity, whole.at.id);
        let covered = |id, index| {
            let position = position(identity.to_word(), id, index);
            (whole.covers(&position), part.covers(&position))
        };
        assert_eq!(covered(id, 0), (true, true));
        assert_eq!(covered(id, 1), (true, false));
        assert_eq!(covered(1, 0), (false, false));
        let other = Identity {
            created: 4,
            ..identity
        };
        assert!(!whole.covers(&position(other.to_word(), id, 0)));
    }
}
