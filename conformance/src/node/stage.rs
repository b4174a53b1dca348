//! Some nodes on one log and one cluster, and the table that their caches are of.

use std::{sync::Arc, time::Duration};

use invalidation_core::{CacheName, Clock, Entry, Error, Invalidation, Scope, SharedLog};
use parking_lot::RwLock;
use tokio::task::JoinHandle;

use super::{
    clock::LeapingClock,
    gate::{Gate, GatedLog},
    harness::{NodeHarness, NodeSpace},
    rows::{Rows, tag_of},
    under_test::{Freshness, Loader, NodeUnderTest, Setup},
    wire::{Line, Wire},
};
use crate::{Unable, wait};

/// How often a node reads the log when no cache asks for more.
pub(crate) const POLL: Duration = Duration::from_secs(1);
/// Long, so that a held answer is still an answer.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_millis(800);
/// The bound of [`Freshness::Bounded`]; half of it is how often the log is read.
pub(crate) const MAX_STALENESS: Duration = Duration::from_millis(200);
/// So long that no case ends it by waiting.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);
/// `P20`, and what a busy machine may add to it.
pub(crate) const RECOVERY: Duration = Duration::from_secs(8);

/// A log, a cluster, and a node in each place of it.
pub(crate) struct Stage {
    pub(crate) space: Arc<NodeSpace>,
    pub(crate) rows: Rows,
    pub(crate) places: Vec<Arc<Place>>,
    /// What any other program would write to the log with.
    pub(crate) log: SharedLog,
}

/// Where a node runs, and what may happen to it there.
pub(crate) struct Place {
    harness: Arc<dyn NodeHarness>,
    pub(crate) gate: Arc<GatedLog>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) clock: Arc<LeapingClock>,
    ttl: Duration,
    node: RwLock<Option<Arc<dyn NodeUnderTest>>>,
}

impl Stage {
    /// With so many nodes, which cache for longer than any case takes.
    pub(crate) async fn with(harness: &Arc<dyn NodeHarness>, nodes: usize) -> Result<Self, Unable> {
        Self::with_ttl(harness, nodes, TTL).await
    }

    pub(crate) async fn with_ttl(
        harness: &Arc<dyn NodeHarness>,
        nodes: usize,
        ttl: Duration,
    ) -> Result<Self, Unable> {
        let stage = Self::empty(harness, nodes, ttl).await?;
        for place in &stage.places {
            place.start().await;
        }
        Ok(stage)
    }

    /// With so many places, and no node in any of them.
    pub(crate) async fn empty(
        harness: &Arc<dyn NodeHarness>,
        nodes: usize,
        ttl: Duration,
    ) -> Result<Self, Unable> {
        let space = Arc::new(harness.fresh(nodes).await?);
        let log = space.log.connect().await?;
        log.install().await.expect("the log installs");
        let mut places = Vec::new();
        for member in space.cluster.members() {
            places.push(Arc::new(Place {
                harness: Arc::clone(harness),
                gate: Arc::new(GatedLog::new(space.log.connect().await?)),
                wire: Arc::new(Wire::new(Arc::clone(&member.transport))),
                clock: Arc::new(LeapingClock::new()),
                ttl,
                node: RwLock::new(None),
            }));
        }
        Ok(Self {
            space,
            rows: Rows::default(),
            places,
            log,
        })
    }

    /// Reads `key` on the node at `place`.
    pub(crate) async fn read(&self, place: usize, freshness: Freshness, key: &str) -> u64 {
        let read = self.places[place].read(freshness, key, self.rows.loader(key));
        wait::within("a read", wait::PATIENCE, read).await
    }

    /// Reads `key` on the node at `place` in every cache, so that it holds it.
    pub(crate) async fn warm(&self, place: usize, key: &str) {
        for freshness in Freshness::ALL {
            self.read(place, freshness, key).await;
        }
    }

    /// Reads `key` in the background.
    pub(crate) fn spawn_read(
        &self,
        place: usize,
        freshness: Freshness,
        key: &str,
        loader: Loader,
    ) -> JoinHandle<u64> {
        let (place, key) = (Arc::clone(&self.places[place]), key.to_owned());
        tokio::spawn(async move { place.read(freshness, &key, loader).await })
    }

    /// Writes a row and invalidates its key in every cache through the node at `place`.
    pub(crate) async fn write(&self, place: usize, key: &str, version: u64) {
        self.rows.write(key, version);
        self.invalidate(place, of_key(key)).await;
    }

    pub(crate) async fn invalidate(&self, place: usize, what: Vec<Invalidation>) {
        let node = self.places[place].node();
        wait::within("an invalidation", wait::PATIENCE, node.invalidate(what))
            .await
            .expect("invalidates");
    }

    /// Writes a row and appends its invalidation to the log, as a program does that is no node, or one that dies
    /// before it publishes.
    pub(crate) async fn write_elsewhere(&self, key: &str, version: u64) {
        self.rows.write(key, version);
        self.append(of_key(key)).await.expect("appends");
    }

    pub(crate) async fn append(&self, what: Vec<Invalidation>) -> Result<(), Error> {
        let entries: Vec<_> = what.into_iter().map(Entry::new).collect();
        self.log.append(&entries).await.map(drop)
    }

    /// Waits until the node has read the log after this call, and applied what it read.
    pub(crate) async fn caught_up(&self, place: usize) {
        let gate = &self.places[place].gate;
        gate.next_whole().await;
        gate.next_begun().await; // It applies a page before it asks for the next.
    }

    pub(crate) fn holds(&self, place: usize, freshness: Freshness, key: &str) -> bool {
        self.places[place].node().holds(freshness, key)
    }

    /// Waits until every node reads this version in every cache, no longer than recovery may take.
    pub(crate) async fn converges(&self, key: &str, version: u64) {
        let deadline = tokio::time::Instant::now() + RECOVERY;
        for place in 0..self.places.len() {
            for freshness in Freshness::ALL {
                loop {
                    let read = self.read(place, freshness, key).await;
                    if read >= version {
                        break;
                    }
                    assert!(
                        tokio::time::Instant::now() < deadline,
                        "node {place} still reads version {read} of {key:?} from its {freshness:?} cache, and \
                         {version} was committed {RECOVERY:?} ago (P20)"
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}

impl Place {
    /// Starts a node here; a place whose log is broken for the moment is tried again.
    pub(crate) async fn start(&self) {
        let deadline = tokio::time::Instant::now() + wait::PATIENCE;
        loop {
            match self.harness.start(self.setup()).await {
                Ok(node) => {
                    *self.node.write() = Some(node);
                    return;
                }
                Err(error) => assert!(
                    tokio::time::Instant::now() < deadline,
                    "the node does not start: {error}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
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
        }
    }

    pub(crate) fn node(&self) -> Arc<dyn NodeUnderTest> {
        self.node.read().clone().expect("a node was started here")
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

/// The key in every cache.
pub(crate) fn of_key(key: &str) -> Vec<Invalidation> {
    in_every_cache(&Scope::keys([key]))
}

/// The row's tag in every cache.
pub(crate) fn of_tag(key: &str) -> Vec<Invalidation> {
    in_every_cache(&Scope::tags([tag_of(key)]))
}

/// All of every cache, one by one.
pub(crate) fn of_all() -> Vec<Invalidation> {
    in_every_cache(&Scope::All)
}

fn in_every_cache(scope: &Scope) -> Vec<Invalidation> {
    let cache = |freshness: Freshness| in_cache(freshness.cache(), scope.clone());
    Freshness::ALL.into_iter().map(cache).collect()
}

pub(crate) const fn in_cache(cache: CacheName, scope: Scope) -> Invalidation {
    Invalidation::Cache { cache, scope }
}
