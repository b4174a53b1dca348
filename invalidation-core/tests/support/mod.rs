//! What the tests of the node share: waiting, a clock that follows tokio's, a table of rows, a node or two.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use invalidation_core::{
    Cache, Clock, MemoryHub, MemoryLog, MemoryTransport, Node, NodeBuilder, NodeClock, Tick,
};
use parking_lot::Mutex;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; fails after 20 s, saying what did not come true.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Fails when `condition` comes true within `period`.
pub(crate) async fn never(what: &str, period: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + period;
    while Instant::now() < end {
        assert!(!condition().await, "came true: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// A clock that follows tokio's, so that virtual time moves both; and that can leap on its own, as it does
/// for a process that was stopped.
#[derive(Debug)]
pub(crate) struct FollowingClock {
    base: Instant,
    leap: AtomicU64,
}

impl FollowingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            base: Instant::now(),
            leap: AtomicU64::new(3_600_000_000_000),
        })
    }

    pub(crate) fn leap(&self, by: Duration) {
        self.leap.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for FollowingClock {
    fn now(&self) -> Tick {
        Tick::from_nanos(self.base.elapsed().as_nanos() as u64 + self.leap.load(Ordering::SeqCst))
    }
}

/// Rows, and how often they were loaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(Arc<Rows>);

#[derive(Debug, Default)]
struct Rows {
    rows: Mutex<HashMap<i64, u64>>,
    loads: AtomicU64,
}

impl Table {
    pub(crate) fn write(&self, key: i64, value: u64) {
        self.0.rows.lock().insert(key, value);
    }

    pub(crate) async fn load(&self, key: i64) -> Result<u64, std::io::Error> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(self.0.rows.lock().get(&key).copied().unwrap_or_default())
    }

    pub(crate) fn loads(&self) -> u64 {
        self.0.loads.load(Ordering::SeqCst)
    }
}

/// What the node under test reads through its cache.
pub(crate) async fn read(cache: &Cache<i64, u64>, table: &Table, key: i64) -> u64 {
    cache.get_or_load(&key, || table.load(key)).await.unwrap()
}

/// A builder on this handle of the log, whose faults the node shares, on a clock that follows tokio's.
pub(crate) fn on(log: &MemoryLog) -> NodeBuilder {
    Node::builder("test")
        .log(log.clone())
        .clock(NodeClock::Custom(FollowingClock::new()))
}

/// A transport on `hub`.
pub(crate) fn via(hub: &MemoryHub) -> MemoryTransport {
    MemoryTransport::new(hub)
}

/// A cache with a TTL so long that no test ends it.
pub(crate) fn users(node: &Node) -> Cache<i64, u64> {
    node.cache("users")
        .capacity(1_000)
        .ttl(Duration::from_secs(3_600))
        .build()
        .unwrap()
}

/// The same, with a lease.
pub(crate) fn leased(node: &Node, max_staleness: Duration) -> Cache<i64, u64> {
    node.cache("users")
        .capacity(1_000)
        .ttl(Duration::from_secs(3_600))
        .max_staleness(max_staleness)
        .build()
        .unwrap()
}

/// Whether `cache` would serve `key` from memory.
pub(crate) fn holds(cache: &Cache<i64, u64>, key: i64) -> bool {
    cache.peek(&key).is_some()
}
