//! Identity, position and cursor as bytes.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes};
use invalidation_core::{Cursor, LogIdentity, Position};

/// The random epoch in the table `cache_invalidation_meta`: written anew by whoever finds that the server or the tables are
/// not those that it was written for (`P10`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u128);

impl Epoch {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// From its 32 hexadecimal digits, as they stand in the database.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain
            .then(|| u128::from_str_radix(text, 16).ok().map(Self))
            .flatten()
    }

    pub(crate) fn to_text(self) -> String {
        format!("{:032x}", self.0)
    }

    pub(crate) fn to_word(self) -> LogIdentity {
        LogIdentity::from_bytes(self.0.to_be_bytes().to_vec())
    }

    fn is_that_of(self, identity: &LogIdentity) -> bool {
        identity.as_bytes().as_ref() == self.0.to_be_bytes()
    }
}

/// The position of a row: by its nonce, which is known before it is inserted. Ids are not, since those of one statement
/// need not follow one another (`innodb_autoinc_lock_mode = 2`).
pub(crate) fn position(identity: LogIdentity, nonce: i64) -> Position {
    Position {
        identity,
        at: Bytes::copy_from_slice(&nonce.to_be_bytes()),
    }
}

/// A stamped row that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) seq: i64,
    pub(crate) nonce: i64,
}

/// How far a reader has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) epoch: Epoch,
    /// Every row stamped with this or less has been read.
    pub(crate) seq: i64,
    /// The newest stamped row at or before `seq`; none when there was no row.
    pub(crate) witness: Option<Witness>,
    /// Ids of rows that were read before they were stamped, and have not been met with a stamp since.
    pub(crate) ahead: Vec<i64>,
    /// Nonces of the rows read last, the newest at the end.
    recent: VecDeque<i64>,
}

impl Mark {
    const FORMAT: u8 = 1;

    /// How many rows read last are known by their nonce.
    const RECENT: usize = 128;

    pub(crate) fn new(epoch: Epoch, seq: i64, witness: Option<Witness>) -> Self {
        Self {
            epoch,
            seq,
            witness,
            ahead: Vec::new(),
            recent: VecDeque::new(),
        }
    }

    /// Takes note of a row that was read.
    pub(crate) fn pass(&mut self, nonce: i64) {
        if self.recent.len() == Self::RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(nonce);
    }

    pub(crate) fn to_cursor(&self) -> Cursor {
        let mut bytes = Vec::with_capacity(48 + 8 * (self.ahead.len() + self.recent.len()));
        bytes.put_u8(Self::FORMAT);
        bytes.put_u128(self.epoch.0);
        bytes.put_i64(self.seq);
        bytes.put_u8(self.witness.is_some().into());
        if let Some(Witness { seq, nonce }) = self.witness {
            bytes.put_i64(seq);
            bytes.put_i64(nonce);
        }
        put_all(&mut bytes, self.ahead.iter());
        put_all(&mut bytes, self.recent.iter());
        Cursor::from_bytes(bytes)
    }

    /// `None` for anything that [`to_cursor`](Self::to_cursor) does not make.
    pub(crate) fn from_cursor(cursor: &Cursor) -> Option<Self> {
        let mut bytes = cursor.as_bytes().as_ref();
        if bytes.try_get_u8().ok()? != Self::FORMAT {
            return None;
        }
        let epoch = Epoch(bytes.try_get_u128().ok()?);
        let seq = bytes.try_get_i64().ok().filter(|&seq| seq >= 0)?;
        let witness = match bytes.try_get_u8().ok()? {
            0 => None,
            1 => Some(Witness {
                seq: bytes.try_get_i64().ok().filter(|&at| at <= seq)?,
                nonce: bytes.try_get_i64().ok()?,
            }),
            _ => return None,
        };
        let ahead = take_all(&mut bytes)?;
        let recent = take_all(&mut bytes).filter(|recent| recent.len() <= Self::RECENT)?;
        bytes.is_empty().then_some(Self {
            epoch,
            seq,
            witness,
            ahead,
            recent: recent.into(),
        })
    }

    /// Whether this has passed `position`; `false` when that is not known any more, or they are not of the same log.
    pub(crate) fn covers(&self, position: &Position) -> bool {
        let nonce = position.at.as_ref().try_into().map(i64::from_be_bytes);
        self.epoch.is_that_of(&position.identity)
            && nonce.is_ok_and(|nonce| self.recent.contains(&nonce))
    }
}

fn put_all<'a>(bytes: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = &'a i64>) {
    // Both lists are bounded, far below.
    bytes.put_u32(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
    for &number in numbers {
        bytes.put_i64(number);
    }
}

fn take_all(bytes: &mut &[u8]) -> Option<Vec<i64>> {
    let count = bytes.try_get_u32().ok()? as usize;
    if bytes.len() / 8 < count {
        return None;
    }
    Some((0..count).map(|_| bytes.get_i64()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        let witness = Witness { seq: 8, nonce: -1 };
        let mut mark = Mark::new(Epoch(1 << 100), 9, Some(witness));
        mark.ahead = vec![12, 15];
        mark.pass(-7);
        mark.pass(i64::MAX);
        mark
    }

    /// A cursor comes back whole, and no part or addition of it is taken for one.
    #[test]
    fn only_its_own_bytes_are_a_cursor() {
        let mark = mark();
        let bytes = mark.to_cursor().as_bytes().clone();
        assert_eq!(Mark::from_cursor(&mark.to_cursor()), Some(mark));
        for length in 0..bytes.len() {
            let part = Cursor::from_bytes(bytes.slice(..length));
            assert_eq!(Mark::from_cursor(&part), None, "{length} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Mark::from_cursor(&Cursor::from_bytes(longer)), None);
    }

    /// P1: a cursor covers what it remembers to have passed in its own log, and forgets towards `false`.
    #[test]
    fn it_covers_what_it_remembers() {
        let mut mark = mark();
        let own = mark.epoch.to_word();
        assert!(mark.covers(&position(own.clone(), -7)));
        assert!(!mark.covers(&position(own.clone(), 8)));
        assert!(!mark.covers(&position(Epoch(2).to_word(), -7)));
        for nonce in 0..200 {
            mark.pass(nonce);
        }
        assert!(!mark.covers(&position(own.clone(), -7)));
        assert!(mark.covers(&position(own, 199)));
        assert_eq!(Mark::from_cursor(&mark.to_cursor()), Some(mark));
    }
}
