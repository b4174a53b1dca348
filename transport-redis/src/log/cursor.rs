//! Identity, position and cursor as bytes.

use std::fmt;

use bytes::{Buf as _, BufMut as _, Bytes};
use invalidation_core::{Cursor, LogIdentity, Position};

/// All that changes when the past of the log may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The server's `master_replid`: another one after every start and every promotion. A server that was started again,
    /// from whatever file, or that took over, may lack the last rows and give their ids anew.
    history: [u8; 20],
    /// In the name of the log's mark, which lives and dies with the stream: the server's time when it was made, and a random
    /// number.
    epoch: u128,
}

impl Identity {
    const BYTES: usize = 20 + 16;

    /// Of their hexadecimal digits.
    pub(crate) fn parse(history: &str, epoch: &str) -> Option<Self> {
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if history.len() != 40 || !is_hex(history) || epoch.len() != 32 || !is_hex(epoch) {
            return None;
        }
        let mut bytes = [0; 20];
        for (byte, digits) in bytes.iter_mut().zip(history.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        // What stands for no name at all tells no two pasts apart.
        if bytes == [0; 20] {
            return None;
        }
        Some(Self {
            history: bytes,
            epoch: u128::from_str_radix(epoch, 16).ok()?,
        })
    }

    pub(crate) fn history(self) -> String {
        self.history
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    pub(crate) fn epoch(self) -> String {
        epoch_text(self.epoch)
    }

    /// Whether both are of one server's past.
    pub(crate) fn has_history_of(self, other: Self) -> bool {
        self.history == other.history
    }

    /// Whether both are of one stream, on whatever server.
    pub(crate) fn has_epoch_of(self, other: Self) -> bool {
        self.epoch == other.epoch
    }

    /// Whether this one was made before `later`, by the same clock; `false` when that cannot be told.
    pub(crate) fn is_before(self, later: Self) -> bool {
        self.has_history_of(later) && self.epoch >> 64 < later.epoch >> 64
    }

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..20].copy_from_slice(&self.history);
        bytes[20..].copy_from_slice(&self.epoch.to_be_bytes());
        bytes
    }

    pub(crate) fn to_word(self) -> LogIdentity {
        LogIdentity::from_bytes(self.to_bytes().to_vec())
    }
}

/// The random part of an epoch.
pub(crate) fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn epoch_text(epoch: u128) -> String {
    format!("{epoch:032x}")
}

/// The id of a row. Those of the log are `N-0`, and dense; another program may write others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) part: u64,
}

impl Place {
    pub(crate) const fn at(number: u64) -> Self {
        Self { number, part: 0 }
    }

    pub(crate) fn parse(id: &str) -> Option<Self> {
        let (number, part) = id.split_once('-')?;
        Some(Self {
            number: number.parse().ok()?,
            part: part.parse().ok()?,
        })
    }

    /// Whether the log gives `id` to what comes right behind this.
    pub(crate) fn is_followed_by(self, id: Self) -> bool {
        self.number.checked_add(1).map(Self::at) == Some(id)
    }

    pub(crate) fn to_position(self, identity: LogIdentity) -> Position {
        let mut at = Vec::with_capacity(16);
        at.put_u64(self.number);
        at.put_u64(self.part);
        Position {
            identity,
            at: Bytes::from(at),
        }
    }

    fn of(position: &Position) -> Option<Self> {
        let mut at = position.at.as_ref();
        (at.len() == 16).then(|| Self {
            number: at.get_u64(),
            part: at.get_u64(),
        })
    }
}

/// As the server writes it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.part)
    }
}

/// How far a reader has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// [`Identity`] as bytes: it is only ever compared.
    identity: [u8; Identity::BYTES],
    /// The row that was read last, or the last id that was given.
    pub(crate) place: Place,
    /// The nonce of that row; none when there was no such row.
    pub(crate) witness: Option<u64>,
}

impl Mark {
    const FORMAT: u8 = 1;
    const BYTES: usize = 1 + Identity::BYTES + 16 + 1 + 8;

    pub(crate) fn new(identity: Identity, place: Place, witness: Option<u64>) -> Self {
        Self {
            identity: identity.to_bytes(),
            place,
            witness,
        }
    }

    pub(crate) fn is_of(&self, identity: Identity) -> bool {
        self.identity == identity.to_bytes()
    }

    pub(crate) fn to_cursor(self) -> Cursor {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.put_u8(Self::FORMAT);
        bytes.put_slice(&self.identity);
        bytes.put_u64(self.place.number);
        bytes.put_u64(self.place.part);
        bytes.put_u8(self.witness.is_some().into());
        bytes.put_u64(self.witness.unwrap_or_default());
        Cursor::from_bytes(bytes)
    }

    /// `None` for anything that [`to_cursor`](Self::to_cursor) does not make.
    pub(crate) fn from_cursor(cursor: &Cursor) -> Option<Self> {
        let mut bytes = cursor.as_bytes().as_ref();
        if bytes.len() != Self::BYTES || bytes.get_u8() != Self::FORMAT {
            return None;
        }
        let mut identity = [0; Identity::BYTES];
        bytes.copy_to_slice(&mut identity);
        let place = Place {
            number: bytes.get_u64(),
            part: bytes.get_u64(),
        };
        let witness = match (bytes.get_u8(), bytes.get_u64()) {
            (0, 0) => None,
            (1, nonce) => Some(nonce),
            _ => return None,
        };
        Some(Self {
            identity,
            place,
            witness,
        })
    }

    /// Whether this has passed `position`; `false` when they are not of the same log.
    pub(crate) fn covers(&self, position: &Position) -> bool {
        position.identity.as_bytes().as_ref() == self.identity
            && Place::of(position).is_some_and(|place| place <= self.place)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    fn identity(epoch: u128) -> Identity {
        let history = "0123456789abcdef0123456789abcdef01234567";
        Identity::parse(history, &epoch_text(epoch)).unwrap()
    }

    /// A cursor comes back whole, and no part or addition of it is taken for one.
    #[test]
    fn only_its_own_bytes_are_a_cursor() {
        for witness in [None, Some(0), Some(u64::MAX)] {
            let mark = Mark::new(identity(7), Place { number: 9, part: 3 }, witness);
            let bytes = mark.to_cursor().as_bytes().clone();
            assert_eq!(Mark::from_cursor(&mark.to_cursor()), Some(mark));
            for length in 0..bytes.len() {
                let part = Cursor::from_bytes(bytes.slice(..length));
                assert_eq!(Mark::from_cursor(&part), None, "{length} bytes");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Mark::from_cursor(&Cursor::from_bytes(longer)), None);
        }
    }

    /// P1: a cursor covers what stands up to it in the same log, and nothing else.
    #[test]
    fn it_covers_what_was_read() {
        let mark = Mark::new(identity(7), Place::at(9), Some(1));
        let at = |epoch, number| Place::at(number).to_position(identity(epoch).to_word());
        assert!(mark.covers(&at(7, 9)) && mark.covers(&at(7, 1)));
        assert!(!mark.covers(&at(7, 10)) && !mark.covers(&at(8, 9)));
    }

    /// P10: an epoch is older than another of the same server by its time alone; those of two servers cannot be compared.
    #[test]
    fn epochs_grow() {
        let at = |time: u128, random: u128| identity(time << 64 | random);
        assert!(at(1, 9).is_before(at(2, 1)));
        assert!(!at(2, 1).is_before(at(2, 9)) && !at(2, 1).is_before(at(1, 9)));
        let elsewhere = Identity::parse(&"a".repeat(40), &at(2, 1).epoch()).unwrap();
        assert!(!at(1, 1).is_before(elsewhere) && !elsewhere.is_before(at(9, 1)));
    }

    /// Ids and the server's names come back as they were written.
    #[test]
    fn the_servers_words_are_read() {
        let id = Place::parse("18446744073709551615-7").unwrap();
        assert_eq!(id.to_string(), "18446744073709551615-7");
        assert!(!id.is_followed_by(Place::at(0)));
        assert!(Place::at(1).is_followed_by(Place::at(2)));
        assert!(!Place::at(1).is_followed_by(Place { number: 2, part: 1 }));
        for bad in ["", "1", "1-", "-1", "1-1-1", "a-0"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
        let known = identity(1 << 100);
        let again = Identity::parse(&known.history(), &known.epoch());
        assert_eq!(again, Some(known));
        assert_eq!(Identity::parse("ab", &known.epoch()), None);
        assert_eq!(Identity::parse(&"0".repeat(40), &known.epoch()), None);
        assert_eq!(Identity::parse(&known.history(), "ab"), None);
    }
}
