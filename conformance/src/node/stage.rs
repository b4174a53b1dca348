//! Some nodes on one log and one cluster, and the table that their caches are of.

use std::{sync::Arc, time::Duration};

use invalidation_core::{Entry, Error, Invalidation, Scope, SharedLog, SharedTransport};
use tokio::{task::JoinHandle, time::sleep};

use super::{
    gate::GatedLog,
    harness::NodeHarness,
    machine::Machine,
    place::Place,
    recovery::{Found, Recovery},
    rows::Rows,
    scopes::{in_cache, of_key},
    timing::{RECOVERY, TTL},
    under_test::{Freshness, Loader},
};
use crate::{Disruption, LogSpace, TransportCluster, Unable, wait};

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
        let gate = GatedLog::new(self.space.log.connect().await?);
        let harness = Arc::clone(&self.harness);
        Ok(Arc::new(Place::new(harness, gate, transport, self.ttl)))
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
        let machine = Machine::watch();
        while self.holds(place, Freshness::Eventual, MARKER) {
            if machine.ran() > RECOVERY {
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
        let recoveries: Vec<_> = self
            .places
            .iter()
            .map(|place| Recovery::of(place))
            .collect();
        for (place, recovery) in recoveries.iter().enumerate() {
            for freshness in Freshness::ALL {
                let wait = recovery.wait();
                loop {
                    let applied = wait.applied();
                    let read = self.read(place, freshness, key).await;
                    // What may be served without waiting is served under a lease; so it tells whether there is one.
                    let leased =
                        freshness != Freshness::Bounded || self.holds(place, freshness, key);
                    let (found, what) = match (read >= version, leased) {
                        (true, true) => break,
                        (true, false) => (Found::NoLease, "has no lease again".to_owned()),
                        (false, _) => {
                            (Found::Old, format!("still reads version {read} of {key:?}"))
                        }
                    };
                    if let Some(why) = wait.breach(applied, found) {
                        panic!(
                            "P20: node {place} {what} in its {freshness:?} cache, and version {version} of {key:?} was \
                             committed, {why}"
                        );
                    }
                    sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}
