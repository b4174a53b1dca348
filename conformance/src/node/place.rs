//! Where a node runs, and what may happen to it there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use invalidation_core::{Clock, SharedLog, SharedTransport};
use parking_lot::RwLock;
use tokio::time::{Instant, sleep};

use super::{
    clock::LeapingClock,
    gate::{Gate, GatedLog},
    harness::NodeHarness,
    timing::{MAX_STALENESS, OUTBOX_ITEMS, POLL, READ_TIMEOUT},
    under_test::{Freshness, Loader, NodeUnderTest, Setup},
    wire::{Line, Wire},
};
use crate::wait;

/// Where a node runs, and what may happen to it there.
pub(crate) struct Place {
    harness: Arc<dyn NodeHarness>,
    pub(crate) gate: Arc<GatedLog>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) clock: Arc<LeapingClock>,
    ttl: Duration,
    node: RwLock<Option<Arc<dyn NodeUnderTest>>>,
    /// How many nodes were started here.
    started: AtomicU64,
}

impl Place {
    /// With this log and this end of the transport, and no node.
    pub(crate) fn new(
        harness: Arc<dyn NodeHarness>,
        gate: GatedLog,
        transport: SharedTransport,
        ttl: Duration,
    ) -> Self {
        Self {
            harness,
            gate: Arc::new(gate),
            wire: Arc::new(Wire::new(transport)),
            clock: Arc::new(LeapingClock::new()),
            ttl,
            node: RwLock::new(None),
            started: AtomicU64::new(0),
        }
    }

    /// Starts a node here; a place whose log is broken for the moment is tried again.
    pub(crate) async fn start(&self) {
        let deadline = Instant::now() + wait::PATIENCE;
        loop {
            match self.harness.start(self.setup()).await {
                Ok(node) => {
                    let mut place = self.node.write();
                    self.started.fetch_add(1, Ordering::SeqCst);
                    *place = Some(node);
                    return;
                }
                Err(error) => assert!(
                    Instant::now() < deadline,
                    "the node does not start: {error}"
                ),
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            log: Arc::clone(&self.gate) as SharedLog,
            transport: Arc::clone(&self.wire) as _,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            poll_interval: POLL,
            read_timeout: READ_TIMEOUT,
            ttl: self.ttl,
            max_staleness: MAX_STALENESS,
            outbox_items: OUTBOX_ITEMS,
        }
    }

    pub(crate) fn node(&self) -> Arc<dyn NodeUnderTest> {
        self.node.read().clone().expect("a node was started here")
    }

    /// The node, and which one it is of those that were started here.
    pub(crate) fn numbered_node(&self) -> (u64, Arc<dyn NodeUnderTest>) {
        let node = self.node.read();
        let number = self.started.load(Ordering::SeqCst);
        (number, node.clone().expect("a node was started here"))
    }

    pub(crate) async fn stop(&self) {
        let node = self.node.read().clone();
        if let Some(node) = node {
            node.shutdown().await;
        }
    }

    pub(crate) async fn read(&self, freshness: Freshness, key: &str, loader: Loader) -> u64 {
        let node = self.node();
        node.read(freshness, key, loader).await.expect("reads")
    }

    /// From here on neither log nor transport reaches the node: as if its process did not run.
    pub(crate) fn pause(&self) {
        self.gate.set(Gate::Hangs);
        self.wire.set(Line::Holds);
    }

    /// Everything passes again; what came meanwhile comes now.
    pub(crate) fn heal(&self) {
        self.gate.set(Gate::Open);
        self.wire.release_backwards();
    }

    /// The node hears of nothing.
    pub(crate) fn isolate(&self) {
        self.gate.set(Gate::Fails);
        self.wire.set(Line::Swallows);
    }
}
