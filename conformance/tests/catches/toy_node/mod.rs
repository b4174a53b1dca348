//! A small honest node, and the mistakes it can be told to make.
//!
//! It is as simple as a node can be: every cache is one map, and whatever is not a key of it clears it.

mod applying;
mod counting;
mod fast_path;
mod log;
mod mistake;
mod outbox;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use invalidation_conformance::{
    BusinessTransaction, Ending, Freshness, Loader, NodeUnderTest, Row, Setup,
};
use invalidation_core::{
    BoxError, Entry, EntryHash, Error, Invalidation, NodeId, Tick, frame::Carried,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

pub(crate) use mistake::Mistake;

/// Starts it.
pub(crate) async fn start(setup: Setup, mistake: Mistake) -> Result<Arc<dyn NodeUnderTest>, Error> {
    setup.log.install().await?;
    let cursor = setup.log.head().await?;
    let mut state = State::default();
    if mistake == Mistake::KeepsAcrossRestarts
        && let Some(kept) = KEPT.lock().remove(&place_of(&setup))
    {
        state.entries = kept;
    }
    let shared = Arc::new(Shared {
        mistake,
        id: NodeId::random(),
        state: Mutex::new(state),
        lease: watch::Sender::new(Lease::default()),
        wanted: Notify::new(),
        applying: tokio::sync::Mutex::default(),
        outbox: Mutex::default(),
        filled: Notify::new(),
        setup,
    });
    let signals = shared.setup.transport.subscribe().await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&shared).poll(cursor));
    tasks.spawn(Arc::clone(&shared).listen(signals));
    tasks.spawn(Arc::clone(&shared).publish_all());
    Ok(Arc::new(Toy {
        shared,
        tasks: Mutex::new(tasks),
    }))
}

type Entries = HashMap<(Freshness, String), Stored>;

/// What nodes held when they ended, by their places.
static KEPT: LazyLock<Mutex<HashMap<usize, Entries>>> = LazyLock::new(Mutex::default);

/// Each place has a clock of its own, which outlives the nodes in it.
fn place_of(setup: &Setup) -> usize {
    Arc::as_ptr(&setup.clock).addr()
}

struct Toy {
    shared: Arc<Shared>,
    /// They end with it.
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    mistake: Mistake,
    id: NodeId,
    setup: Setup,
    state: Mutex<State>,
    lease: watch::Sender<Lease>,
    wanted: Notify,
    /// Held while an entry is applied and marked.
    applying: tokio::sync::Mutex<HashSet<EntryHash>>,
    /// What waits to be published.
    outbox: Mutex<Vec<Carried>>,
    filled: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lease {
    as_of: Tick,
    begun: u64,
    done: u64,
    failures: u32,
    closed: bool,
}

#[derive(Default)]
struct State {
    /// Of everything that was applied.
    sequence: u64,
    /// The last sequence at which a key, a tag or all of a cache was invalidated.
    keys: HashMap<(Freshness, String), u64>,
    tags: HashMap<(Freshness, String), u64>,
    all: HashMap<Freshness, u64>,
    entries: Entries,
    flights: HashMap<(Freshness, String), Flight>,
    sent: u64,
    /// What could not be loaded, for a node that keeps it.
    failed: HashSet<(Freshness, String)>,
    /// The newest frame of each node.
    newest: HashMap<NodeId, u64>,
}

struct Stored {
    row: Row,
    expires: Tick,
}

#[derive(Clone)]
struct Flight {
    start: u64,
    landed: watch::Receiver<Option<Row>>,
}

impl State {
    /// Whether nothing was invalidated since `start` that concerns this key, or, when they are known, these tags.
    fn holds(&self, at: &(Freshness, String), start: u64, tags: &[String]) -> bool {
        let after = |sequence: Option<&u64>| sequence.is_some_and(|sequence| *sequence > start);
        !after(self.keys.get(at))
            && !after(self.all.get(&at.0))
            && !tags
                .iter()
                .any(|tag| after(self.tags.get(&(at.0, tag.clone()))))
    }
}

impl Shared {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    fn lookup(&self, at: &(Freshness, String)) -> Option<u64> {
        let now = self.setup.clock.now();
        let mut state = self.state.lock();
        let stored = state.entries.get_mut(at)?;
        if stored.expires <= now {
            return None;
        }
        if self.mistake == Mistake::SlidingTtl {
            stored.expires = now + self.setup.ttl;
        }
        Some(stored.row.version)
    }

    fn failed(&self, at: &(Freshness, String)) -> bool {
        self.state.lock().failed.contains(at)
    }

    /// The flight to follow, or a new one to lead.
    fn board(&self, at: &(Freshness, String), proved: u64) -> Result<Flight, Lead> {
        let mut state = self.state.lock();
        let flight = state.flights.get(at).cloned();
        if let Some(flight) = flight.filter(|flight| flight.landed.has_changed().is_ok()) {
            let holds = state.holds(at, flight.start, &[]) && proved <= flight.start;
            let joins = holds || self.makes(Mistake::JoinsOlderLoad);
            if joins && !self.makes(Mistake::EveryCallerLoads) {
                return Ok(flight);
            }
        }
        let (lands, landed) = watch::channel(None);
        let start = state.sequence;
        let flight = Flight { start, landed };
        state.flights.insert(at.clone(), flight);
        Err(Lead {
            start,
            began: self.setup.clock.now(),
            lands,
        })
    }

    fn land(&self, at: (Freshness, String), lead: Lead, row: &Row) {
        let mut state = self.state.lock();
        let fenced = match self.mistake {
            Mistake::NoFence => false,
            Mistake::NoFenceByTag => !state.holds(&at, lead.start, &[]),
            _ => !state.holds(&at, lead.start, &row.tags),
        };
        if !fenced {
            let stored = Stored {
                row: row.clone(),
                expires: lead.began + self.setup.ttl,
            };
            state.entries.insert(at, stored);
        }
        lead.lands.send_replace(Some(row.clone()));
    }
}

struct Lead {
    start: u64,
    began: Tick,
    lands: watch::Sender<Option<Row>>,
}

#[async_trait]
impl NodeUnderTest for Toy {
    async fn read(&self, freshness: Freshness, key: &str, load: Loader) -> Result<u64, BoxError> {
        let at = (freshness, key.to_owned());
        if !self.shared.fresh(freshness).await {
            return Ok(load().await?.version);
        }
        // Who is not bounded may join any load that holds.
        let proved = match freshness {
            Freshness::Eventual => 0,
            _ => self.shared.state.lock().sequence,
        };
        loop {
            if let Some(version) = self.shared.lookup(&at) {
                return Ok(version);
            }
            let came = self.shared.state.lock().sequence;
            match self.shared.board(&at, proved) {
                Err(lead) => {
                    let loaded = match self.shared.failed(&at) {
                        true => Err("as before".into()),
                        false => load().await,
                    };
                    if loaded.is_err() && self.shared.makes(Mistake::KeepsFailures) {
                        self.shared.state.lock().failed.insert(at.clone());
                    }
                    let row = loaded?;
                    self.shared.land(at, lead, &row);
                    return Ok(row.version);
                }
                Ok(mut flight) => {
                    let landed = flight.landed.wait_for(Option::is_some).await;
                    let Some(row) = landed.ok().and_then(|row| row.clone()) else {
                        if self.shared.makes(Mistake::StrandsWhoJoined) {
                            std::future::pending::<()>().await;
                        }
                        continue;
                    };
                    let trusts = matches!(
                        self.shared.mistake,
                        Mistake::TagsOnlyAtInsert | Mistake::JoinsOlderLoad
                    );
                    let state = self.shared.state.lock();
                    if trusts || came <= flight.start || state.holds(&at, flight.start, &row.tags) {
                        return Ok(row.version);
                    }
                }
            }
        }
    }

    fn holds(&self, freshness: Freshness, key: &str) -> bool {
        let at = (freshness, key.to_owned());
        self.shared.is_fresh(freshness) && self.shared.lookup(&at).is_some()
    }

    async fn invalidate(&self, what: Vec<Invalidation>) -> Result<(), Error> {
        let entries: Vec<_> = what.into_iter().map(Entry::new).collect();
        if self.shared.makes(Mistake::AppendsLater) {
            let (log, later) = (Arc::clone(&self.shared.setup.log), entries.clone());
            tokio::spawn(async move { log.append(&later).await.map(drop) });
            return self.shared.spread(entries).await;
        }
        match self.shared.setup.log.append(&entries).await {
            Ok(_) => self.shared.spread(entries).await,
            Err(error) => {
                if !self.shared.makes(Mistake::RefusedIsForgotten) {
                    self.shared.claim(entries).await;
                }
                Err(error)
            }
        }
    }

    async fn end(
        &self,
        mut transaction: Box<dyn BusinessTransaction>,
        what: Vec<Invalidation>,
        ending: Ending,
    ) -> Result<(), Error> {
        let entries: Vec<_> = what.into_iter().map(Entry::new).collect();
        if self.shared.makes(Mistake::AppendsBesideTransactions) {
            self.shared.setup.log.append(&entries).await?;
        } else {
            transaction.append(&entries).await?;
        }
        match ending {
            Ending::Commit => {
                transaction.commit().await?;
                if !self.shared.makes(Mistake::ForgetsTransactions) {
                    self.shared.spread(entries).await?;
                }
            }
            Ending::RollBack => transaction.roll_back().await?,
            Ending::Drop if self.shared.makes(Mistake::CommitsTheForgotten) => {
                transaction.commit().await?;
            }
            Ending::Drop => {}
        }
        Ok(())
    }

    async fn shutdown(&self) {
        self.tasks.lock().abort_all();
        match self.shared.mistake {
            Mistake::ServesAfterShutdown => return,
            Mistake::KeepsAcrossRestarts => {
                let held = std::mem::take(&mut self.shared.state.lock().entries);
                KEPT.lock().insert(place_of(&self.shared.setup), held);
            }
            _ => {}
        }
        self.shared.lease.send_modify(|lease| lease.closed = true);
    }
}
