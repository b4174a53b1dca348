//! How far a reader has read, and where one entry stands.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;

/// How far a reader has read: opaque bytes that only the log which made them understands, with a text form
/// (URL-safe base64). It carries the log's identity and a witness, so that the log can tell when its past
/// has changed (`P10`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Bytes);

impl Cursor {
    /// A cursor of these bytes. Only a log calls this.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes the log put in.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        match BASE64_URL_SAFE_NO_PAD.decode(text) {
            Ok(bytes) => Ok(Self(bytes.into())),
            Err(_) => Err(CursorError),
        }
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the text of a cursor: expected URL-safe base64 without padding, as a cursor prints itself"
)]
pub struct CursorError;

/// Which incarnation of which log: it changes whenever the log's past may have changed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LogIdentity(Bytes);

impl LogIdentity {
    /// The identity of these bytes. Only a log calls this.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes the log put in.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for LogIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogIdentity({})", BASE64_URL_SAFE_NO_PAD.encode(&self.0))
    }
}

/// Where one entry stands in which incarnation of the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The log's identity when the entry was written or read.
    pub identity: LogIdentity,
    /// The place within it, in bytes that only the log understands.
    pub at: Bytes,
}
