//! What travels between nodes: a version byte, then a protobuf message, whose fields stand in `wire.rs`.
//!
//! The meaning of a frame lives here, once, so that a transport need not know it. Rules that let nodes of
//! different versions share a cluster:
//!
//! - Fields that this version does not know are ignored.
//! - An entry whose scope this version does not know widens to its cache, and counts as claimed (`P12`).
//! - A message of an unknown kind, an unknown format version or bytes that do not decode are a
//!   [`DecodeError`]: the receiver treats it as a gap.
//! - The first byte changes only when a frame would otherwise be misunderstood.

mod decode;
mod encode;
mod pack;
mod wire;

pub use decode::{DecodeError, decode};
pub use encode::encode;
pub use pack::{MIN_FRAME, pack};

use crate::words::{ClusterName, Entry, LogIdentity, NodeId};

/// The format version: the first byte of each frame.
pub const FORMAT: u8 = 1;

/// One frame, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Which deployment it belongs to; another one's frames are ignored.
    pub cluster: ClusterName,
    /// Who made it.
    pub origin: NodeId,
    /// Dense per origin, from 1. A heartbeat or a farewell uses none up: it carries the last one used.
    pub sequence: u64,
    /// What it says.
    pub message: Message,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// These were invalidated.
    Invalidations(Vec<Carried>),
    /// The origin lives; its `sequence` tells a receiver whether it lost the tail.
    Heartbeat,
    /// The origin stops; its silence from here on is no gap.
    Farewell,
}

/// An entry on the fast path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// What was invalidated, with the nonce of its log entry.
    pub entry: Entry,
    /// What the origin knows of that log entry.
    pub standing: Standing,
}

/// What the origin knew of an entry when it sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was committed, to the log of this identity; `None` when there is no log.
    Proven(Option<LogIdentity>),
    /// It may have been committed, may yet be, or never: the log has the last word (`P8`).
    Claimed,
}
