//! What one ring holds: the newest appends that went to it, and where those before them ended.

use bytes::Bytes;
use prost::Message;

/// How many bytes a ring keeps beside the newest append. Each append writes its ring anew.
pub(crate) const KEPT_BYTES: usize = 256 << 10;

/// The most bytes of one append: with what is kept beside it, a ring is below 1 MiB, where a server takes requests of 1.5
/// unless told otherwise (`--max-request-bytes`).
pub(crate) const MAX_APPEND: usize = (1 << 20) - KEPT_BYTES - (16 << 10);

/// A place in the one order of all appends: the revision at which one was committed, and its random id, by which it is told
/// from one that another past had at the same revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) revision: i64,
    pub(crate) id: u64,
}

/// The appends of a ring, oldest first, each with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ring {
    /// Behind this nothing is missing; of what is before it nothing is here.
    pub(crate) floor: Place,
    pub(crate) batches: Vec<Batch>,
}

/// The entries of one transaction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    pub(crate) place: Place,
    pub(crate) entries: Vec<Bytes>,
}

/// ```proto
/// message Ring {
///   int64 floor = 1;             // a revision
///   fixed64 floor_id = 2;
///   repeated Batch batches = 3;
/// }
/// message Batch {
///   int64 revision = 1;
///   fixed64 id = 2;
///   repeated bytes entries = 3;  // messages of their own, so that one that cannot be read hides no other
/// }
/// ```
///
/// Nobody knows the revision at which he will have written: the newest of all, be it a batch or the floor, has revision 0,
/// which stands for the key's `mod_revision`, and is given its own by whoever writes next.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(int64, tag = "1")]
    floor: i64,
    #[prost(fixed64, tag = "2")]
    floor_id: u64,
    #[prost(message, repeated, tag = "3")]
    batches: Vec<StoredBatch>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredBatch {
    #[prost(int64, tag = "1")]
    revision: i64,
    #[prost(fixed64, tag = "2")]
    id: u64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    entries: Vec<Bytes>,
}

impl Ring {
    /// The bytes of an empty ring whose floor is the revision at which it is written.
    pub(crate) fn fresh(id: u64) -> Vec<u8> {
        let stored = Stored {
            floor: 0,
            floor_id: id,
            batches: Vec::new(),
        };
        stored.encode_to_vec()
    }

    /// One that begins behind `floor`, since what was in it is gone.
    pub(crate) const fn behind(floor: Place) -> Self {
        Self {
            floor,
            batches: Vec::new(),
        }
    }

    /// What a key holds; none for what is no ring.
    pub(crate) fn read(bytes: Bytes, mod_revision: i64) -> Option<Self> {
        let stored = Stored::decode(bytes).ok()?;
        let at = |revision, id| Place {
            revision: if revision == 0 {
                mod_revision
            } else {
                revision
            },
            id,
        };
        Some(Self {
            floor: at(stored.floor, stored.floor_id),
            batches: stored
                .batches
                .into_iter()
                .map(|batch| Batch {
                    place: at(batch.revision, batch.id),
                    entries: batch.entries,
                })
                .collect(),
        })
    }

    /// The newest that it knows of.
    pub(crate) fn newest(&self) -> Place {
        self.batches.last().map_or(self.floor, |batch| batch.place)
    }

    /// The bytes of the ring with one more append, and at most `capacity` entries, unless that one alone has more: the
    /// oldest appends fall out, whole.
    pub(crate) fn pushed(&self, id: u64, entries: &[Bytes], capacity: usize) -> Vec<u8> {
        let (mut count, mut bytes) = (entries.len(), 0);
        let kept = self.batches.iter().rev().take_while(|batch| {
            count += batch.entries.len();
            bytes += batch.entries.iter().map(Bytes::len).sum::<usize>();
            count <= capacity && bytes <= KEPT_BYTES
        });
        let fallen = self.batches.len() - kept.count();
        let floor = match fallen.checked_sub(1) {
            Some(last) => self.batches[last].place,
            None => self.floor,
        };
        let stored = Stored {
            floor: floor.revision,
            floor_id: floor.id,
            batches: self.batches[fallen..]
                .iter()
                .map(|batch| StoredBatch {
                    revision: batch.place.revision,
                    id: batch.place.id,
                    entries: batch.entries.clone(),
                })
                .chain([StoredBatch {
                    revision: 0,
                    id,
                    entries: entries.to_vec(),
                }])
                .collect(),
        };
        stored.encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn entries(count: usize, size: usize) -> Vec<Bytes> {
        vec![Bytes::from(vec![b'x'; size]); count]
    }

    fn push(ring: &Ring, revision: i64, entries: &[Bytes], capacity: usize) -> Ring {
        let id = revision.unsigned_abs();
        Ring::read(ring.pushed(id, entries, capacity).into(), revision).unwrap()
    }

    fn revisions(ring: &Ring) -> Vec<i64> {
        ring.batches.iter().map(|b| b.place.revision).collect()
    }

    /// Each append has its own revision, though none knew it when it was written.
    #[test]
    fn revisions_are_filled_in() {
        let mut ring = Ring::read(Ring::fresh(1).into(), 5).unwrap();
        assert_eq!(ring.newest(), Place { revision: 5, id: 1 });
        for revision in [7, 8, 20] {
            ring = push(&ring, revision, &entries(1, 1), 64);
        }
        assert_eq!(revisions(&ring), [7, 8, 20]);
        assert_eq!(ring.floor, Place { revision: 5, id: 1 });
    }

    /// P13: what falls out is told by the floor, and the newest append never falls out, however large.
    #[test]
    fn p13_what_falls_out_is_told() {
        let mut ring = Ring::read(Ring::fresh(1).into(), 1).unwrap();
        for revision in 2..6 {
            ring = push(&ring, revision, &entries(2, 1), 6);
        }
        assert_eq!(revisions(&ring), [3, 4, 5]);
        assert_eq!(ring.floor, Place { revision: 2, id: 2 });
        let full = push(&ring, 6, &entries(300, 1), 6);
        assert_eq!((revisions(&full), full.floor.revision), (vec![6], 5));
        let heavy = push(&ring, 6, &entries(1, KEPT_BYTES * 2), 6);
        assert_eq!(revisions(&heavy), [4, 5, 6]);
        let after = push(&heavy, 7, &entries(1, 1), 6);
        assert_eq!((revisions(&after), after.floor.revision), (vec![7], 6));
    }

    #[test]
    fn what_is_no_ring_is_none() {
        assert_eq!(Ring::read(Bytes::from_static(b"\xff"), 1), None);
    }
}
