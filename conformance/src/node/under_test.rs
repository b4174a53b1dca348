//! What is tried: a node with its caches, ours or somebody's own.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use invalidation_core::{
    BoxError, CacheName, Clock, Error, Invalidation, SharedLog, SharedTransport,
};

use crate::BusinessTransaction;

/// The name of the cluster that all nodes under test belong to: frames carry it.
pub const CLUSTER: &str = "conformance";

/// The three caches of a node under test, by how stale their reads may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Bounded by [`Setup::ttl`] alone.
    Eventual,
    /// `max_staleness` is [`Setup::max_staleness`].
    Bounded,
    /// `max_staleness` is zero.
    Strict,
}

impl Freshness {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Eventual, Self::Bounded, Self::Strict];

    /// The cache's name, the same on every node.
    pub fn cache(self) -> CacheName {
        let name = match self {
            // What the harness writes that nobody can read concerns this one, or every cache.
            Self::Eventual => "users",
            Self::Bounded => "bounded",
            Self::Strict => "strict",
        };
        CacheName::new(name).expect("a good name")
    }
}

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The log, which the suite may break for this node.
    pub log: SharedLog,
    /// The transport, which the suite may break for this node. It is bound already.
    pub transport: SharedTransport,
    /// The clock of leases and TTLs, which the suite may make leap.
    pub clock: Arc<dyn Clock>,
    /// How often the log is read.
    pub poll_interval: Duration,
    /// How long one read of the log may take.
    pub read_timeout: Duration,
    /// The TTL of every entry in every cache, without jitter.
    pub ttl: Duration,
    /// The bound of [`Freshness::Bounded`].
    pub max_staleness: Duration,
    /// How many keys and tags may wait for a transport that has no room for them. More widen to their caches, and these
    /// to everything (`P11`).
    pub outbox_items: usize,
}

/// What a loader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its version.
    pub version: u64,
    /// The tags that its entry carries.
    pub tags: Vec<String>,
}

/// Loads one row.
pub type Loader = Arc<dyn Fn() -> BoxFuture<'static, Result<Row, BoxError>> + Send + Sync>;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It commits.
    Commit,
    /// It rolls back.
    RollBack,
    /// It is dropped, and nobody tells the node.
    Drop,
}

/// A node with the three caches of [`Freshness`]. Every method may be called concurrently and dropped at any time.
#[async_trait]
pub trait NodeUnderTest: Send + Sync + 'static {
    /// The version of `key`: from the cache, or else by `load`.
    async fn read(&self, freshness: Freshness, key: &str, load: Loader) -> Result<u64, BoxError>;

    /// Whether `key` would be served from memory now, without waiting.
    fn holds(&self, freshness: Freshness, key: &str) -> bool;

    /// Invalidates as one step, for a write that was committed before.
    async fn invalidate(&self, what: Vec<Invalidation>) -> Result<(), Error>;

    /// Invalidates inside `transaction`, and ends it.
    async fn end(
        &self,
        transaction: Box<dyn BusinessTransaction>,
        what: Vec<Invalidation>,
        ending: Ending,
    ) -> Result<(), Error>;

    /// Ends the node. What it holds is never served again.
    async fn shutdown(&self);
}

impl fmt::Debug for dyn NodeUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeUnderTest")
    }
}
