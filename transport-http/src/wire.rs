//! The payload of a request for [`Purpose::Frames`](crate::envelope::Purpose::Frames): a batch.
//!
//! Milliseconds to wait for acknowledgements (4 bytes), then items: a kind (1 byte: 1 frame, 2 frame that
//! wants an acknowledgement, 3 resync), a length (4 bytes) and that many bytes. The answer's payload is one
//! byte for each item. Big-endian.

use bytes::{Buf, Bytes};

/// What precedes the items.
pub(crate) const BATCH_HEAD: usize = 4;
/// What precedes each item's bytes.
pub(crate) const ITEM_HEAD: usize = 1 + 4;

const FRAME: u8 = 1;
const FRAME_WANTING_ACK: u8 = 2;
const RESYNC: u8 = 3;

/// One item of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A frame of the node.
    Frame { bytes: Bytes, want_ack: bool },
    /// Frames for this peer were lost: read the log, or flush.
    Resync,
}

impl Item {
    /// How many bytes it takes in a batch.
    pub(crate) fn size(&self) -> usize {
        ITEM_HEAD
            + match self {
                Self::Frame { bytes, .. } => bytes.len(),
                Self::Resync => 0,
            }
    }

    fn write(&self, to: &mut Vec<u8>) {
        let (kind, bytes): (u8, &[u8]) = match self {
            Self::Frame {
                bytes,
                want_ack: false,
            } => (FRAME, bytes),
            Self::Frame {
                bytes,
                want_ack: true,
            } => (FRAME_WANTING_ACK, bytes),
            Self::Resync => (RESYNC, &[]),
        };
        to.push(kind);
        // A frame is never longer than the body cap, which fits 32 bits.
        to.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        to.extend_from_slice(bytes);
    }
}

/// Items that travel in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// How long the receiver may wait for acknowledgements, in milliseconds.
    pub(crate) ack_within_ms: u32,
    /// In the order in which they were published.
    pub(crate) items: Vec<Item>,
}

impl Batch {
    /// How many bytes [`write`](Self::write) writes.
    pub(crate) fn size(&self) -> usize {
        BATCH_HEAD + self.items.iter().map(Item::size).sum::<usize>()
    }

    /// Appends the batch to `to`.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.ack_within_ms.to_be_bytes());
        for item in &self.items {
            item.write(to);
        }
    }

    /// The batch in `payload`, whose frames share its memory. `None` when it is not one.
    pub(crate) fn parse(mut payload: Bytes) -> Option<Self> {
        if payload.len() < BATCH_HEAD {
            return None;
        }
        let ack_within_ms = payload.get_u32();
        let mut items = Vec::new();
        while payload.has_remaining() {
            if payload.len() < ITEM_HEAD {
                return None;
            }
            let kind = payload.get_u8();
            let length = payload.get_u32() as usize;
            if payload.len() < length {
                return None;
            }
            let bytes = payload.split_to(length);
            items.push(match kind {
                FRAME | FRAME_WANTING_ACK => Item::Frame {
                    bytes,
                    want_ack: kind == FRAME_WANTING_ACK,
                },
                RESYNC if length == 0 => Item::Resync,
                _ => return None,
            });
        }
        Some(Self {
            ack_within_ms,
            items,
        })
    }
}

/// What became of one item at the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemOutcome {
    /// A subscription has it.
    Received = 0,
    /// Every target applied it.
    Applied = 1,
    /// The subscription was full; it was told of a gap instead.
    Overflowed = 2,
}

impl ItemOutcome {
    /// The outcome that travels as `byte`.
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Received),
            1 => Some(Self::Applied),
            2 => Some(Self::Overflowed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::SealedRequest;

    fn item() -> impl Strategy<Value = Item> {
        prop_oneof![
            (proptest::collection::vec(any::<u8>(), 0..64), any::<bool>()).prop_map(
                |(bytes, want_ack)| Item::Frame {
                    bytes: bytes.into(),
                    want_ack
                }
            ),
            Just(Item::Resync),
        ]
    }

    proptest! {
        /// `P18`: no bytes make the decoders panic.
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Batch::parse(bytes.clone().into());
            let _ = SealedRequest::parse(bytes.clone().into());
            let mut versioned = bytes;
            versioned.insert(0, 1);
            let _ = SealedRequest::parse(versioned.into());
        }

        /// What one node writes, the other reads; a batch cut short is refused or is a shorter batch, never
        /// another one.
        #[test]
        fn a_batch_survives_the_wire(items in proptest::collection::vec(item(), 0..8), ms in any::<u32>(), cut in any::<proptest::sample::Index>()) {
            let batch = Batch { ack_within_ms: ms, items };
            let mut bytes = Vec::new();
            batch.write(&mut bytes);
            prop_assert_eq!(bytes.len(), batch.size());
            prop_assert_eq!(Batch::parse(bytes.clone().into()), Some(batch.clone()));
            bytes.truncate(cut.index(bytes.len()));
            if let Some(part) = Batch::parse(bytes.into()) {
                prop_assert!(batch.items.starts_with(&part.items));
            }
        }
    }
}
