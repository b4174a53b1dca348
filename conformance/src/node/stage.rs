//! Some nodes on one log and one cluster, and the table that their caches are of.

use std::{sync::Arc, time::Duration};

use invalidation_core::{
    CacheName, Clock, Entry, Error, Invalidation, Scope, SharedLog, SharedTransport,
};
use parking_lot::RwLock;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    clock::LeapingClock,
    gate::{Gate, GatedLog},
    harness::NodeHarness,
    rows::{Rows, tag_of},
    under_test::{Freshness, Loader, NodeUnderTest, Setup},
    wire::{Line, Wire},
};
use crate::{Disruption, LogSpace, TransportCluster, Unable, wait};

/// How often a node reads the log when no cache asks for more.
pub(crate) const POLL: Duration = Duration::from_secs(1);
/// Long, so that a held answer is still an answer.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_millis(800);
/// The bound of [`Freshness::Bounded`]; half of it is how often the log is read.
pub(crate) const MAX_STALENESS: Duration = Duration::from_millis(200);
/// So long that no case ends it by waiting.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);
/// What a busy machine may add to any bound: other cases run beside this one, and a disk may be slow.
const SLACK: Duration = Duration::from_secs(3);
/// `P20`: 1.2 poll intervals and the read timeout, and what the machine may add. No TTL comes near it.
pub(crate) const RECOVERY: Duration = Duration::from_millis(POLL.as_millis() as u64 * 12 / 10)
    .saturating_add(READ_TIMEOUT)
    .saturating_add(SLACK);

/// A log, a cluster, and a node in each place of it.
pub(crate) struct Stage {
    harness: Arc<dyn NodeHarness>,
    ttl: Duration,
    pub(crate) space: Arc<Space>,
    pub(crate) rows: Rows,
    pub(crate) places: Vec<Arc<Place>>,
    /// What any other program would write to the log with.
    pub(crate) log: SharedLog,
}

/// What the harness made.
pub(crate) struct Space {
    pub(crate) log: Box<dyn LogSpace>,
    cluster: tokio::sync::Mutex<Box<dyn TransportCluster>>,
}

impl Space {
    /// Does this to what carries the frames of the node at `place`.
    pub(crate) async fn disrupt_transport(
        &self,
        place: usize,
        disruption: Disruption,
    ) -> Result<(), Unable> {
        self.cluster.lock().await.disrupt(place, disruption).await
    }
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
        let made = harness.fresh(nodes).await?;
        let space = Arc::new(Space {
            log: made.log,
            cluster: tokio::sync::Mutex::new(made.cluster),
        });
        let log = space.log.connect().await?;
        log.install().await.expect("the log installs");
        let mut stage = Self {
            harness: Arc::clone(harness),
            ttl,
            space,
            rows: Rows::default(),
            places: Vec::new(),
            log,
        };
        let members = stage.space.cluster.lock().await.members().to_vec();
        for member in members {
            let place = stage.place(member.transport).await?;
            stage.places.push(place);
        }
        Ok(stage)
    }

    /// A place with this end of the transport, and no node in it.
    async fn place(&self, transport: SharedTransport) -> Result<Arc<Place>, Unable> {
        Ok(Arc::new(Place {
            harness: Arc::clone(&self.harness),
            gate: Arc::new(GatedLog::new(self.space.log.connect().await?)),
            wire: Arc::new(Wire::new(transport)),
            clock: Arc::new(LeapingClock::new()),
            ttl: self.ttl,
            node: RwLock::new(None),
        }))
    }

    /// Ends the process of the last node, with its end of the transport, and starts another one in its place.
    pub(crate) async fn replace_last(&mut self) -> Result<(), Unable> {
        let member = self.space.cluster.lock().await.give_away();
        let Some(member) = member else {
            return Err(Unable::because("the harness gives no node away"));
        };
        let last = self.places.pop().expect("there is a place");
        last.stop().await;
        drop(last); // With its handles of the transport.
        let closing = member.transport.close();
        let closed = wait::within("closing the transport", wait::PATIENCE, closing).await;
        closed.expect("the transport closes");
        drop(member);
        let member = self.space.cluster.lock().await.rejoin().await?;
        let place = self.place(member.transport).await?;
        place.start().await;
        self.places.push(place);
        Ok(())
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

    /// Waits until the node has acted upon all frames that the suite gave it before: until it acts upon one more.
    /// `false` when it does not. The log must not tell it instead: nothing of this is in there.
    pub(crate) async fn heard(&self, place: usize) -> bool {
        const MARKER: &str = "a row that is only there to be invalidated";
        self.read(place, Freshness::Eventual, MARKER).await;
        let scope = Scope::keys([MARKER]);
        let entry = Entry::new(in_cache(Freshness::Eventual.cache(), scope));
        let wire = &self.places[place].wire;
        let deadline = Instant::now() + RECOVERY;
        while self.holds(place, Freshness::Eventual, MARKER) {
            if Instant::now() > deadline {
                return false;
            }
            // Again, since it may have subscribed anew.
            wire.claim(entry.clone());
            sleep(Duration::from_millis(10)).await;
        }
        true
    }

    pub(crate) fn holds(&self, place: usize, freshness: Freshness, key: &str) -> bool {
        self.places[place].node().holds(freshness, key)
    }

    /// Waits until every node reads this version in every cache and has its lease back, no longer than recovery may
    /// take (`P20`).
    pub(crate) async fn converges(&self, key: &str, version: u64) {
        let deadline = Instant::now() + RECOVERY;
        for place in 0..self.places.len() {
            for freshness in Freshness::ALL {
                loop {
                    let read = self.read(place, freshness, key).await;
                    // What may be served without waiting is served under a lease; so it tells whether there is one.
                    let leased =
                        freshness != Freshness::Bounded || self.holds(place, freshness, key);
                    if read >= version && leased {
                        break;
                    }
                    let what = match read >= version {
                        true => "has no lease again".to_owned(),
                        false => format!("still reads version {read} of {key:?}"),
                    };
                    assert!(
                        Instant::now() < deadline,
                        "P20: node {place} {what} in its {freshness:?} cache, and version {version} of {key:?} was \
                         committed, and nothing was broken, {RECOVERY:?} ago"
                    );
                    sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}

impl Place {
    /// Starts a node here; a place whose log is broken for the moment is tried again.
    pub(crate) async fn start(&self) {
        let deadline = Instant::now() + wait::PATIENCE;
        loop {
            match self.harness.start(self.setup()).await {
                Ok(node) => {
                    *self.node.write() = Some(node);
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
