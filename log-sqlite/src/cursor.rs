//! Identity, position and cursor as bytes.

use bytes::Bytes;
use invalidation_core::{Cursor, LogIdentity, Position};

use crate::file_identity::FileIdentity;

/// The random id that `install` gave the log, and the file it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) log: LogId,
    pub(crate) file: FileIdentity,
}

/// The random 128 bits that `install` gave the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogId(u128);

impl LogId {
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
}

impl Identity {
    const BYTES: usize = 32;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.log.0.to_be_bytes());
        bytes[16..].copy_from_slice(&self.file.to_bytes());
        bytes
    }

    pub(crate) fn to_word(self) -> LogIdentity {
        LogIdentity::from_bytes(self.to_bytes().to_vec())
    }
}

/// The position of the row with this id.
pub(crate) fn position(identity: LogIdentity, id: i64) -> Position {
    Position {
        identity,
        at: Bytes::copy_from_slice(&id.to_be_bytes()),
    }
}

/// How far a reader has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// [`Identity`] as bytes: it is only ever compared.
    identity: [u8; Identity::BYTES],
    /// The id of the last row read, or the highest one ever given.
    pub(crate) id: i64,
    /// The newest row at or before `id`; none when there was no row.
    pub(crate) witness: Option<Witness>,
}

/// A row that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    /// That of the mark, unless the rows behind this one had been deleted.
    pub(crate) id: i64,
    pub(crate) nonce: i64,
}

impl Mark {
    const FORMAT: u8 = 2;
    const BYTES: usize = 1 + Identity::BYTES + 8 + 1 + 8 + 8;

    pub(crate) fn new(identity: Identity, id: i64, witness: Option<Witness>) -> Self {
        Self {
            identity: identity.to_bytes(),
            id,
            witness,
        }
    }

    /// On the row that was read last.
    pub(crate) fn at(identity: Identity, row: Witness) -> Self {
        Self::new(identity, row.id, Some(row))
    }

    /// Whether no row is missing between this and the row with the next higher `id`.
    pub(crate) fn is_followed_by(&self, id: i64) -> bool {
        self.id.checked_add(1) == Some(id)
    }

    pub(crate) fn is_of(&self, identity: Identity) -> bool {
        self.identity == identity.to_bytes()
    }

    pub(crate) fn to_cursor(self) -> Cursor {
        let witness = self.witness.unwrap_or(Witness { id: 0, nonce: 0 });
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.push(Self::FORMAT);
        bytes.extend_from_slice(&self.identity);
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.push(self.witness.is_some().into());
        bytes.extend_from_slice(&witness.id.to_be_bytes());
        bytes.extend_from_slice(&witness.nonce.to_be_bytes());
        Cursor::from_bytes(bytes)
    }

    /// `None` for anything that [`to_cursor`](Self::to_cursor) does not make.
    pub(crate) fn from_cursor(cursor: &Cursor) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = cursor.as_bytes().as_ref().try_into().ok()?;
        let (&[format], rest) = bytes.split_first_chunk()?;
        let (&identity, rest) = rest.split_first_chunk()?;
        let (&id, rest) = rest.split_first_chunk()?;
        let (&[has_witness], rest) = rest.split_first_chunk()?;
        let (&witness_id, rest) = rest.split_first_chunk()?;
        let nonce = i64::from_be_bytes(rest.try_into().ok()?);
        let id = i64::from_be_bytes(id);
        let witness = Witness {
            id: i64::from_be_bytes(witness_id),
            nonce,
        };
        let witness = match has_witness {
            0 if (witness.id, witness.nonce) == (0, 0) => None,
            1 if witness.id <= id => Some(witness),
            _ => return None,
        };
        (format == Self::FORMAT && id >= 0).then_some(Self {
            identity,
            id,
            witness,
        })
    }

    /// Whether this has passed `position`; `false` when they are not of the same log.
    pub(crate) fn covers(&self, position: &Position) -> bool {
        let id = position.at.as_ref().try_into().map(i64::from_be_bytes);
        position.identity.as_bytes().as_ref() == self.identity && id.is_ok_and(|id| id <= self.id)
    }
}
