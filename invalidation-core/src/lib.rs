//! Words, interfaces, node and cache of the `cache-invalidation` framework.

pub mod backend;
mod cache;
mod clock;
mod error;
mod fence;
#[doc(hidden)]
pub mod frame;
mod lease;
mod log;
mod members;
mod memory;
mod node;
mod observe;
mod target;
mod transport;
mod words;

pub use cache::{Cache, CacheBuilder, CacheSettings, CacheStats, Fill, LoadError, Loaded, OnStale};
pub use clock::{Clock, ManualClock, NodeClock, Tick};
pub use error::{BoxError, Error, ErrorKind, Retry};
pub use fence::{Fence, FenceTicket};
pub use lease::{Lease, Stale};
pub use log::{
    Completeness, InvalidationLog, JoinsLog, LogCapabilities, LogStatement, Page, Purged,
    ReadConsistency, ReadRequest, ReadStart, SharedLog,
};
pub use members::{MAX_MEMBERS, Member, Members};
pub use memory::{
    FaultSwitch, LogFaults, MemoryHub, MemoryLog, MemorySnapshot, MemoryTransaction,
    MemoryTransport, TransportFaults,
};
pub use node::{
    Attachment, Changes, KeyText, Node, NodeBuilder, NodeSettings, Pending, Published, Receipt,
    TwoStep, TwoStepError,
};
pub use target::InvalidationTarget;
pub use transport::{
    AckSink, Applied, CacheInvalidationTransport, Delivery, Destination, Frame, Outgoing,
    PeerOutcome, Sender, SharedTransport, Signal, Subscription, TransportCapabilities,
};
#[doc(hidden)]
pub use words::key_parts;
pub use words::{
    CacheKey, CacheName, ClusterName, Cursor, CursorError, Entry, EntryHash, GapReason,
    Invalidation, KeyError, LogIdentity, LoggedEntry, NameError, NodeId, Nonce, Payload, Position,
    Scope, Text,
};
