//! How far a reader has read, and where an entry stands.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use invalidation_core::{Cursor, LogIdentity, Position};

use super::moment::Moment;

/// The first byte of a cursor.
const FORMAT: u8 = 1;

/// Which incarnation of which stream. A stream that was deleted and made anew has another time of creation; one that was
/// restored has the same, and is told by its [`Witness`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// The fingerprint of the stream's name.
    pub(super) stream: u64,
    pub(super) created: Moment,
}

impl Identity {
    pub(super) fn to_word(self) -> LogIdentity {
        let mut bytes = BytesMut::with_capacity(16);
        bytes.put_u64(self.stream);
        bytes.put_i64(self.created.0);
        LogIdentity::from_bytes(bytes)
    }
}

/// What tells one message from any other that may stand at the same sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Witness {
    /// Over its payload, which holds the random nonces of its entries.
    pub(super) fingerprint: u64,
    /// When the server stored it.
    pub(super) stored: Moment,
}

/// How much of a message was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    All,
    /// So many of its entries, of several.
    First(u32),
}

/// What a cursor says: a reader has read all up to the message `sequence`, and of that as much as `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) identity: Identity,
    /// That of the stream; 0 before the first message.
    pub(super) sequence: u64,
    pub(super) read: Read,
    /// Of the message `sequence`; `None` if it was already gone.
    pub(super) witness: Option<Witness>,
}

impl Mark {
    /// The lowest sequence that must still be there, so that nothing is missed.
    pub(super) fn needs(&self) -> u64 {
        match self.read {
            Read::All => self.sequence + 1,
            Read::First(_) => self.sequence,
        }
    }

    pub(super) fn to_cursor(self) -> Cursor {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u8(FORMAT);
        bytes.put_u64(self.identity.stream);
        bytes.put_i64(self.identity.created.0);
        bytes.put_u64(self.sequence);
        bytes.put_u32(match self.read {
            Read::All => u32::MAX,
            Read::First(entries) => entries,
        });
        if let Some(Witness {
            fingerprint,
            stored,
        }) = self.witness
        {
            bytes.put_u64(fingerprint);
            bytes.put_i64(stored.0);
        }
        Cursor::from_bytes(bytes)
    }

    /// `None` for what is no cursor of this version.
    pub(super) fn from_cursor(cursor: &Cursor) -> Option<Self> {
        let mut bytes = cursor.as_bytes().clone();
        let has_witness = match bytes.len() {
            29 => false,
            45 => true,
            _ => return None,
        };
        if bytes.get_u8() != FORMAT {
            return None;
        }
        let mark = Self {
            identity: Identity {
                stream: bytes.get_u64(),
                created: Moment(bytes.get_i64()),
            },
            sequence: bytes.get_u64(),
            read: match bytes.get_u32() {
                u32::MAX => Read::All,
                entries => Read::First(entries),
            },
            witness: has_witness.then(|| Witness {
                fingerprint: bytes.get_u64(),
                stored: Moment(bytes.get_i64()),
            }),
        };
        // Only what is there is read in part, and nothing stands at 0.
        let is_partial = mark.read != Read::All;
        let can_be = mark.sequence < u64::MAX
            && (mark.witness.is_some() || !is_partial)
            && (mark.sequence > 0 || mark.witness.is_none());
        can_be.then_some(mark)
    }
}

/// Where an entry stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: u64,
    /// Which of the message's entries.
    pub(super) index: u32,
    /// Of the message.
    pub(super) fingerprint: u64,
}

impl Place {
    pub(super) fn to_position(self, identity: &LogIdentity) -> Position {
        let mut at = BytesMut::with_capacity(20);
        at.put_u64(self.sequence);
        at.put_u32(self.index);
        at.put_u64(self.fingerprint);
        Position {
            identity: identity.clone(),
            at: at.freeze(),
        }
    }

    pub(super) fn from_bytes(at: &Bytes) -> Option<Self> {
        let mut at = at.clone();
        (at.len() == 20).then(|| Self {
            sequence: at.get_u64(),
            index: at.get_u32(),
            fingerprint: at.get_u64(),
        })
    }
}

/// FNV-1a, which is the same in every version of this program. It guards against accidents, not against those who may write
/// to the stream.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn marks() -> Vec<Mark> {
        let identity = Identity {
            stream: fingerprint(b"s"),
            created: Moment(-7),
        };
        let witness = Some(Witness {
            fingerprint: u64::MAX,
            stored: Moment(12),
        });
        let mark = Mark {
            identity,
            sequence: 5,
            read: Read::All,
            witness,
        };
        vec![
            mark,
            Mark {
                read: Read::First(3),
                ..mark
            },
            Mark {
                witness: None,
                ..mark
            },
            Mark {
                sequence: 0,
                witness: None,
                ..mark
            },
        ]
    }

    /// A cursor says what was put into it, and nothing else can be read as one.
    #[test]
    fn cursors_come_back() {
        for mark in marks() {
            let cursor = mark.to_cursor();
            assert_eq!(Mark::from_cursor(&cursor), Some(mark));
            let bytes = cursor.as_bytes();
            for end in 0..bytes.len() {
                assert!(
                    end == 29 && mark.read == Read::All && mark.sequence > 0
                        || Mark::from_cursor(&Cursor::from_bytes(bytes.slice(..end))).is_none(),
                    "{end} of {mark:?}"
                );
            }
            let mut other = bytes.to_vec();
            other[0] = 2;
            assert_eq!(Mark::from_cursor(&Cursor::from_bytes(other)), None);
        }
    }

    /// A message that was read in part must still be there.
    #[test]
    fn a_cursor_needs_what_it_has_not_passed() {
        let needs: Vec<_> = marks().iter().map(Mark::needs).collect();
        assert_eq!(needs, [6, 5, 6, 1]);
    }

    #[test]
    fn positions_come_back() {
        let place = Place {
            sequence: 3,
            index: 4,
            fingerprint: 5,
        };
        let identity = LogIdentity::from_bytes(&b"i"[..]);
        let position = place.to_position(&identity);
        assert_eq!(Place::from_bytes(&position.at), Some(place));
        assert_eq!(Place::from_bytes(&position.at.slice(1..)), None);
    }
}
