//! The protobuf messages. In a `.proto` file they would read:
//!
//! ```proto
//! message Envelope {
//!   reserved 15;                  // authentication tag
//!   string cluster = 1;
//!   bytes origin = 2;             // 16 bytes
//!   uint64 sequence = 3;
//!   uint32 kind = 4;              // 1 invalidations, 2 heartbeat, 3 farewell
//!   repeated Carried entries = 5;
//!   optional bytes identity = 6;  // of the log, for each entry of standing 3 that has none of its own
//! }
//! message Carried {
//!   fixed64 nonce = 1;
//!   optional string cache = 2;
//!   uint32 scope = 3;             // 1 all, 2 keys, 3 tags, 4 everything
//!   repeated string items = 4;
//!   uint32 standing = 5;          // 1 claimed, 2 proven without a log, 3 proven
//!   optional bytes identity = 6;
//! }
//! ```
//!
//! Numbers and words of a released version are never given another meaning; the golden vectors in
//! `tests/golden` hold that.

use prost::{Message, bytes::Bytes};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(string, tag = "1")]
    pub(super) cluster: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) origin: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) sequence: u64,
    #[prost(uint32, tag = "4")]
    pub(super) kind: u32,
    #[prost(message, repeated, tag = "5")]
    pub(super) entries: Vec<Carried>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) identity: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Carried {
    #[prost(fixed64, tag = "1")]
    pub(super) nonce: u64,
    #[prost(string, optional, tag = "2")]
    pub(super) cache: Option<String>,
    #[prost(uint32, tag = "3")]
    pub(super) scope: u32,
    // Bytes and strings have the same form on the wire. Bytes share the frame's buffer, so that each key is
    // copied once, into its own box, when it is checked.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(super) items: Vec<Bytes>,
    #[prost(uint32, tag = "5")]
    pub(super) standing: u32,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) identity: Option<Bytes>,
}

pub(super) mod kind {
    pub(in crate::frame) const INVALIDATIONS: u32 = 1;
    pub(in crate::frame) const HEARTBEAT: u32 = 2;
    pub(in crate::frame) const FAREWELL: u32 = 3;
}

pub(super) mod scope {
    pub(in crate::frame) const ALL: u32 = 1;
    pub(in crate::frame) const KEYS: u32 = 2;
    pub(in crate::frame) const TAGS: u32 = 3;
    pub(in crate::frame) const EVERYTHING: u32 = 4;
}

pub(super) mod standing {
    pub(in crate::frame) const CLAIMED: u32 = 1;
    pub(in crate::frame) const PROVEN_WITHOUT_LOG: u32 = 2;
    pub(in crate::frame) const PROVEN: u32 = 3;
}
