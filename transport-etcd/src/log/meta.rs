//! What `install` fixed, and which log this is.

use invalidation_core::{Error, ErrorKind, LogIdentity};
use prost::Message as _;

use crate::error::error;

/// The version of the keys that this crate makes and reads.
pub(crate) const VERSION: u32 = 1;

/// The most rings: one answer may hold all of them, each of 1 MiB.
pub(crate) const MAX_RINGS: u32 = 24;

/// The most entries that a ring keeps.
pub(crate) const MAX_CAPACITY: u32 = 1_024;

/// How many past epochs are remembered. Each node with one that the log does not know adds two, and where that pushed out
/// the one that another node was given just before, they would go on renewing it in turn.
const MAX_PAST: usize = 32;

/// 128 random bits of whoever made the log, or found that it had lost something.
pub(crate) type Epoch = [u8; 16];

/// The value of the key `meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) epoch: Epoch,
    pub(crate) rings: u32,
    pub(crate) capacity: u32,
    /// The epochs before, the last one first.
    past: [Option<Epoch>; MAX_PAST],
}

/// ```proto
/// message Meta {
///   uint32 version = 1;
///   bytes epoch = 2;       // 16 random bytes
///   uint32 rings = 3;
///   uint32 capacity = 4;   // entries that a ring keeps
///   repeated bytes past = 5;  // epochs of before, the last one first
/// }
/// ```
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    epoch: Vec<u8>,
    #[prost(uint32, tag = "3")]
    rings: u32,
    #[prost(uint32, tag = "4")]
    capacity: u32,
    #[prost(bytes = "vec", repeated, tag = "5")]
    past: Vec<Vec<u8>>,
}

impl Meta {
    pub(crate) fn random(rings: u32, capacity: u32) -> Self {
        Self {
            epoch: rand::random(),
            rings,
            capacity,
            past: [None; MAX_PAST],
        }
    }

    /// That of the same log with another epoch, to which this one and `others` are past.
    pub(crate) fn renewed(self, others: impl IntoIterator<Item = Epoch>) -> Self {
        let mut renewed = Self::random(self.rings, self.capacity);
        let older = self.past.into_iter().flatten();
        renewed.remember([self.epoch].into_iter().chain(others).chain(older));
        renewed
    }

    /// Makes these the past epochs, as far as there is room.
    pub(crate) fn remember(&mut self, epochs: impl IntoIterator<Item = Epoch>) {
        self.past = [None; MAX_PAST];
        for epoch in epochs {
            if self.past.contains(&Some(epoch)) {
                continue;
            }
            match self.past.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(epoch),
                None => break,
            }
        }
    }

    /// Whether the log has this epoch, or had it. One that it does not know is of a past that was lost, or is long ago.
    pub(crate) fn knows(&self, epoch: Epoch) -> bool {
        epoch == self.epoch || self.follows(epoch)
    }

    /// Whether this epoch is past, so that who has it is told.
    pub(crate) fn follows(&self, epoch: Epoch) -> bool {
        self.past.contains(&Some(epoch))
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let stored = Stored {
            version: VERSION,
            epoch: self.epoch.to_vec(),
            rings: self.rings,
            capacity: self.capacity,
            past: self
                .past
                .iter()
                .flatten()
                .map(|epoch| epoch.to_vec())
                .collect(),
        };
        stored.encode_to_vec()
    }

    /// # Errors
    /// [`ErrorKind::Incompatible`] for a version that this crate does not know, or for what is none at all.
    pub(crate) fn read(operation: &'static str, bytes: &[u8]) -> Result<Self, Error> {
        let foreign = |what: String| error(ErrorKind::Incompatible, operation, what);
        let stored = Stored::decode(bytes).map_err(|e| {
            foreign(format!(
                "the key meta of the log holds what no version writes ({e}): delete the log's keys and run install"
            ))
        })?;
        if stored.version != VERSION {
            return Err(foreign(format!(
                "the log on this server is of version {}, and this program knows version {VERSION}: upgrade this program",
                stored.version
            )));
        }
        let epoch = stored.epoch.try_into().ok();
        let past = stored.past.into_iter();
        epoch
            .filter(|_| (1..=MAX_RINGS).contains(&stored.rings) && stored.capacity > 0)
            .map(|epoch| {
                let mut meta = Self {
                    epoch,
                    rings: stored.rings,
                    capacity: stored.capacity,
                    past: [None; MAX_PAST],
                };
                meta.remember(past.filter_map(|epoch| epoch.try_into().ok()));
                meta
            })
            .ok_or_else(|| {
                foreign(
                    "the key meta of the log holds what no version writes: delete the log's keys and run install".into(),
                )
            })
    }
}

/// All that changes when the log's past may have changed, as far as the server tells: the cluster, the random epoch, and
/// the revision at which the log was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) epoch: Epoch,
    pub(crate) created: i64,
}

impl Identity {
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.cluster.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.epoch);
        bytes[24..].copy_from_slice(&self.created.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        Some(Self {
            cluster: u64::from_be_bytes(bytes[..8].try_into().ok()?),
            epoch: bytes[8..24].try_into().ok()?,
            created: i64::from_be_bytes(bytes[24..].try_into().ok()?),
        })
    }

    pub(crate) fn to_word(self) -> LogIdentity {
        LogIdentity::from_bytes(self.to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// A newer version, or what is no version, is refused by kind.
    #[test]
    fn only_this_version_is_read() {
        let meta = Meta::random(16, 64);
        assert_eq!(Meta::read("test", &meta.to_bytes()).unwrap(), meta);
        let newer = Stored {
            version: VERSION + 1,
            ..Stored::decode(&*meta.to_bytes()).unwrap()
        };
        for bytes in [newer.encode_to_vec(), b"\xff".to_vec(), Vec::new()] {
            let e = Meta::read("test", &bytes).unwrap_err();
            assert_eq!(e.kind, ErrorKind::Incompatible, "{e}");
        }
    }

    /// P10: what was before is known, as far as there is room, and no other epoch is.
    #[test]
    fn p10_past_epochs_are_known() {
        let first = Meta::random(16, 64);
        let lost = rand::random();
        let mut meta = first.renewed([lost, first.epoch]);
        assert_eq!(Meta::read("test", &meta.to_bytes()).unwrap(), meta);
        assert!(meta.knows(first.epoch) && meta.knows(lost) && meta.knows(meta.epoch));
        assert!(!meta.knows(rand::random()) && !first.knows(lost) && !first.knows(meta.epoch));
        for _ in 0..MAX_PAST {
            assert!(meta.knows(first.epoch));
            let before = meta.epoch;
            meta = meta.renewed([]);
            assert!(meta.knows(before));
        }
        assert!(!meta.knows(first.epoch));
    }

    #[test]
    fn identities_come_back() {
        let identity = Identity {
            cluster: 1 << 63,
            epoch: rand::random(),
            created: 7,
        };
        assert_eq!(Identity::from_bytes(&identity.to_bytes()), Some(identity));
    }
}
