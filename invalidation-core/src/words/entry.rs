//! One record of the log.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{CacheName, Invalidation, Position, Scope};

/// A random number that tells two entries apart which are alike in all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce(pub u64);

impl Nonce {
    /// A new random nonce.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// An invalidation on its way to the log, or to other nodes: one entry is one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Tells this record from any other.
    pub nonce: Nonce,
    /// What is invalidated.
    pub invalidation: Invalidation,
}

impl Entry {
    /// An entry with a fresh random nonce.
    pub fn new(invalidation: Invalidation) -> Self {
        Self {
            nonce: Nonce::random(),
            invalidation,
        }
    }

    /// The hash over what this entry carries. Half of a split entry has another hash than the whole, so
    /// that it proves only its half (`P8`).
    pub fn hash(&self) -> EntryHash {
        let mut hasher = Sha256::new();
        hasher.update(self.nonce.0.to_be_bytes());
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        match &self.invalidation {
            Invalidation::Everything => field(b"everything"),
            Invalidation::Cache { cache, scope } => {
                field(b"cache");
                field(cache.as_str().as_bytes());
                let (word, items): (&[u8], &[_]) = match scope {
                    Scope::All => (b"all", &[]),
                    Scope::Keys(keys) => (b"keys", keys),
                    Scope::Tags(tags) => (b"tags", tags),
                };
                field(word);
                for item in items {
                    field(item.as_bytes());
                }
            }
        }
        let digest = hasher.finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        EntryHash(hash)
    }
}

/// The first 128 bits of the SHA-256 over an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryHash(pub [u8; 16]);

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryHash({:032x})", u128::from_be_bytes(self.0))
    }
}

/// A record as it was read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntry {
    /// Where it stands.
    pub position: Position,
    /// What it says, or as much of it as could be decoded.
    pub payload: Payload,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An entry.
    Entry(Entry),
    /// A record that this version cannot decode: it flushes `cache` if that field decodes, else everything
    /// (`P12`).
    Undecodable {
        /// The cache it names, when that much could be read.
        cache: Option<CacheName>,
        /// What could not be decoded, for the operator.
        why: String,
    },
}
