//! A small honest node, and the mistakes it can be told to make.
//!
//! It is as simple as a node can be: every cache is one map, and whatever is not a key of it clears it.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt;
use invalidation_conformance::{
    BusinessTransaction, CLUSTER, Ending, Freshness, Loader, NodeUnderTest, Row, Setup,
};
use invalidation_core::{
    BoxError, ClusterName, Completeness, Cursor, Entry, EntryHash, Error, Invalidation, NodeId,
    Outgoing, Page, Payload, ReadRequest, ReadStart, Scope, Sender, Signal, Tick,
    frame::{Carried, Envelope, Message, Standing, decode, encode},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// What it may get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    None,
    /// Loads that an invalidation overtook are kept.
    NoFence,
    /// Those that one by tag overtook are.
    NoFenceByTag,
    /// Those that one of the whole cache overtook are.
    NoFenceByClear,
    /// Those that an entry of the log overtook are.
    LogDoesNotFence,
    /// Those that a flush overtook are.
    FlushDoesNotFence,
    /// A read of an entry extends its life.
    SlidingTtl,
    /// The lease counts from the end of the log read.
    LeaseFromTheEnd,
    /// A strict read is satisfied by a log read that was under way.
    SharesReadBegun,
    /// A strict read is satisfied by the lease of a bounded one.
    StrictIsBounded,
    /// Without the log, what is held is served all the same.
    ServesStale,
    /// Without the log, everything is dropped.
    DropsAllWithoutLog,
    /// The log is written and never read.
    NeverPolls,
    /// A read of the log that fails is the last one.
    StopsPollingAfterAFailure,
    /// A caller joins any load of its key.
    JoinsOlderLoad,
    /// Nobody joins a load.
    EveryCallerLoads,
    /// Who joined a load does not look at its tags.
    TagsOnlyAtInsert,
    /// An invalidation by tag is one of the whole cache.
    TagsWiden,
    /// A cache of an unknown name is every cache.
    UnknownMeansAll,
    /// An entry that cannot be read is skipped.
    SkipsUndecodable,
    /// An entry is skipped in the log when a frame claimed it.
    BelievesClaims,
    /// It is when a frame of nobody knows whom proved it.
    BelievesStrangers,
    /// An entry is marked, and then applied.
    MarksBeforeApplying,
    /// A frame that comes late or twice is not applied, and counts as applied.
    LateIsDuplicate,
    /// The frames of all nodes are counted as if they were of one.
    OneSequenceForAll,
    /// Nothing is heard after a frame that cannot be read.
    StopsAtNonsense,
    /// A subscription that ends was the last one.
    NeverSubscribesAgain,
    /// A node's own write is applied when the log tells it.
    OwnWritesWait,
    /// A write that the log refused is forgotten.
    RefusedIsForgotten,
    /// A transaction's commit is not told to the node that made it.
    ForgetsTransactions,
    /// A transaction's entries are appended outside of it.
    AppendsBesideTransactions,
    /// A transaction that is dropped is committed.
    CommitsTheForgotten,
    /// A node that starts again goes on with what it held.
    KeepsAcrossRestarts,
    /// A node that was shut down serves what it holds.
    ServesAfterShutdown,
}

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
        setup,
    });
    let signals = shared.setup.transport.subscribe().await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&shared).poll(cursor));
    tasks.spawn(Arc::clone(&shared).listen(signals));
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

    fn apply(&self, what: &Invalidation, fences: bool) {
        match what {
            Invalidation::Everything => {
                self.flush(fences && !self.makes(Mistake::FlushDoesNotFence));
            }
            Invalidation::Cache { cache, scope } => {
                let own = Freshness::ALL.into_iter().find(|own| own.cache() == *cache);
                match own {
                    Some(freshness) => self.apply_to(freshness, scope, fences),
                    None if self.makes(Mistake::UnknownMeansAll) => self.flush(true),
                    None => {}
                }
            }
        }
    }

    fn apply_to(&self, freshness: Freshness, scope: &Scope, fences: bool) {
        let mut state = self.state.lock();
        state.sequence += 1;
        let now = state.sequence;
        let of = |at: &(Freshness, String)| at.0 == freshness;
        match scope {
            Scope::Keys(keys) => {
                for key in keys.iter() {
                    let at = (freshness, key.to_string());
                    state.entries.remove(&at);
                    if fences {
                        state.keys.insert(at, now);
                    }
                }
            }
            Scope::Tags(tags) if !self.makes(Mistake::TagsWiden) => {
                let has_one = |row: &Row| row.tags.iter().any(|tag| tags.contains(&(**tag).into()));
                let kept = |at: &_, stored: &mut Stored| !(of(at) && has_one(&stored.row));
                state.entries.retain(kept);
                if fences {
                    for tag in tags.iter() {
                        state.tags.insert((freshness, tag.to_string()), now);
                    }
                }
            }
            Scope::Tags(_) | Scope::All => {
                state.entries.retain(|at, _| !of(at));
                if fences && !self.makes(Mistake::NoFenceByClear) {
                    state.all.insert(freshness, now);
                }
            }
        }
    }

    fn flush(&self, fences: bool) {
        let mut state = self.state.lock();
        state.entries.clear();
        if fences {
            state.sequence += 1;
            let now = state.sequence;
            for freshness in Freshness::ALL {
                state.all.insert(freshness, now);
            }
        }
    }

    /// Applies an entry that is known to be committed, unless it was applied before.
    async fn apply_once(&self, entry: &Entry, by_log: bool) {
        let fences = !(by_log && self.makes(Mistake::LogDoesNotFence));
        if self.makes(Mistake::MarksBeforeApplying) {
            if self.applying.lock().await.insert(entry.hash()) {
                sleep(Duration::from_millis(15)).await;
                self.apply(&entry.invalidation, fences);
            }
            return;
        }
        let mut applied = self.applying.lock().await;
        if !applied.contains(&entry.hash()) {
            self.apply(&entry.invalidation, fences);
            applied.insert(entry.hash());
        }
    }

    async fn poll(self: Arc<Self>, mut cursor: Cursor) {
        if self.makes(Mistake::NeverPolls) {
            return self.lease.send_modify(|lease| lease.failures = 2);
        }
        let period = self.setup.max_staleness / 2;
        let mut series = None;
        loop {
            let mut number = 0;
            self.lease.send_modify(|lease| {
                lease.begun += 1;
                number = lease.begun;
            });
            let started = ReadStart::new(self.setup.clock.now(), number);
            let series_started = *series.get_or_insert(started);
            let mut request = ReadRequest::new(&cursor, started);
            request.series_started = series_started;
            let read = timeout(self.setup.read_timeout, self.setup.log.read(request)).await;
            match read {
                Ok(Ok(Page::Entries {
                    entries,
                    next,
                    complete,
                })) => {
                    for logged in entries {
                        match logged.payload {
                            Payload::Entry(entry) => self.apply_once(&entry, true).await,
                            Payload::Undecodable { .. } => {
                                if !self.makes(Mistake::SkipsUndecodable) {
                                    self.flush(true);
                                }
                            }
                        }
                    }
                    cursor = next;
                    let Completeness::AsOf(start) = complete else {
                        continue;
                    };
                    series = None;
                    self.renew(start);
                }
                Ok(Ok(Page::Expired { next, as_of, .. })) => {
                    self.flush(self.mistake != Mistake::FlushDoesNotFence);
                    cursor = next;
                    series = None;
                    self.renew(as_of);
                }
                _ => {
                    self.lease.send_modify(|lease| lease.failures += 1);
                    match self.mistake {
                        Mistake::DropsAllWithoutLog => self.flush(true),
                        Mistake::StopsPollingAfterAFailure => {
                            return self.lease.send_modify(|lease| lease.failures = 2);
                        }
                        _ => {}
                    }
                }
            }
            let _ = timeout(period, self.wanted.notified()).await;
        }
    }

    fn renew(&self, start: ReadStart) {
        let as_of = match self.mistake {
            Mistake::LeaseFromTheEnd => self.setup.clock.now(),
            _ => start.tick(),
        };
        self.lease.send_modify(|lease| {
            lease.as_of = lease.as_of.max(as_of);
            lease.done = lease.done.max(start.number());
            lease.failures = 0;
        });
    }

    async fn listen(self: Arc<Self>, mut signals: invalidation_core::Subscription) {
        loop {
            while let Some(Ok(signal)) = signals.next().await {
                match signal {
                    Signal::Frame(frame) => {
                        let heard = self.hear(&frame).await;
                        if heard.is_break() {
                            return;
                        }
                    }
                    Signal::Gap(_) | Signal::Nudge => self.wanted.notify_one(),
                    _ => {}
                }
            }
            if self.makes(Mistake::NeverSubscribesAgain) {
                return;
            }
            signals = loop {
                if let Ok(signals) = self.setup.transport.subscribe().await {
                    break signals;
                }
                sleep(Duration::from_millis(20)).await;
            };
            self.wanted.notify_one();
        }
    }

    async fn hear(&self, frame: &invalidation_core::Frame) -> ControlFlow<()> {
        let Ok(envelope) = decode(&frame.bytes) else {
            self.wanted.notify_one();
            return match self.mistake {
                Mistake::StopsAtNonsense => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
        };
        let is_late = self.is_late(&envelope);
        let Message::Invalidations(carried) = envelope.message else {
            return ControlFlow::Continue(());
        };
        for Carried { entry, standing } in carried {
            let is_known = frame.sender == Sender::Authenticated;
            let is_proven = match standing {
                Standing::Proven(_) => is_known || self.makes(Mistake::BelievesStrangers),
                Standing::Claimed => self.makes(Mistake::BelievesClaims),
            };
            if is_late {
                self.applying.lock().await.insert(entry.hash());
            } else if is_proven {
                self.apply_once(&entry, false).await;
            } else {
                self.apply(&entry.invalidation, true);
            }
        }
        ControlFlow::Continue(())
    }

    /// For a node that thinks that it has applied whatever is not newer than the newest.
    fn is_late(&self, envelope: &Envelope) -> bool {
        let origin = match self.mistake {
            Mistake::LateIsDuplicate => envelope.origin,
            Mistake::OneSequenceForAll => NodeId::from_bytes([0; 16]),
            _ => return false,
        };
        let mut state = self.state.lock();
        let newest = state.newest.entry(origin).or_default();
        let is_late = envelope.sequence <= *newest;
        *newest = envelope.sequence.max(*newest);
        is_late
    }

    /// What is known to be committed.
    async fn spread(&self, entries: Vec<Entry>) {
        if !self.makes(Mistake::OwnWritesWait) {
            for entry in &entries {
                self.apply_once(entry, false).await;
            }
        }
        let identity = self.setup.log.identity();
        let standing = identity.map_or(Standing::Claimed, |identity| {
            Standing::Proven(Some(identity))
        });
        self.publish(entries, &standing);
    }

    /// What may or may not be.
    fn claim(&self, entries: Vec<Entry>) {
        for entry in &entries {
            self.apply(&entry.invalidation, true);
        }
        self.publish(entries, &Standing::Claimed);
    }

    fn publish(&self, entries: Vec<Entry>, standing: &Standing) {
        let sequence = {
            let mut state = self.state.lock();
            state.sent += 1;
            state.sent
        };
        let carried = |entry| Carried {
            entry,
            standing: standing.clone(),
        };
        let bytes = encode(&Envelope {
            cluster: ClusterName::new(CLUSTER).expect("a good name"),
            origin: self.id,
            sequence,
            message: Message::Invalidations(entries.into_iter().map(carried).collect()),
        });
        // The log tells those whom this does not reach.
        let transport = Arc::clone(&self.setup.transport);
        tokio::spawn(async move { transport.publish(Outgoing::to_all(bytes)).await.map(drop) });
    }

    /// Whether cached values may be served; waits for the log where that helps.
    async fn fresh(&self, freshness: Freshness) -> bool {
        let arrived = self.lease.borrow().begun;
        if self.is_fresh(freshness) {
            return true;
        }
        let serves_stale = self.makes(Mistake::ServesStale);
        if self.lease.borrow().closed || self.lease.borrow().failures > 1 {
            return serves_stale;
        }
        let least = match self.mistake {
            Mistake::SharesReadBegun => arrived,
            _ => arrived + 1,
        };
        let mut changes = self.lease.subscribe();
        self.wanted.notify_one();
        let renewed = async {
            loop {
                let lease = *changes.borrow_and_update();
                if lease.closed || lease.failures > 1 {
                    return false;
                }
                if lease.done >= least {
                    return true;
                }
                self.wanted.notify_one();
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        let renewed = timeout(2 * self.setup.read_timeout, renewed).await;
        renewed.unwrap_or(false) || serves_stale
    }

    fn is_fresh(&self, freshness: Freshness) -> bool {
        let lease = *self.lease.borrow();
        let age = self.setup.clock.now().since(lease.as_of);
        !lease.closed
            && match freshness {
                Freshness::Eventual => true,
                Freshness::Bounded => age < self.setup.max_staleness,
                Freshness::Strict => {
                    self.makes(Mistake::StrictIsBounded) && age < self.setup.max_staleness
                }
            }
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
                    let row = load().await?;
                    self.shared.land(at, lead, &row);
                    return Ok(row.version);
                }
                Ok(mut flight) => {
                    let landed = flight.landed.wait_for(Option::is_some).await;
                    let Some(row) = landed.ok().and_then(|row| row.clone()) else {
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
        match self.shared.setup.log.append(&entries).await {
            Ok(_) => self.shared.spread(entries).await,
            Err(error) => {
                if !self.shared.makes(Mistake::RefusedIsForgotten) {
                    self.shared.claim(entries);
                }
                return Err(error);
            }
        }
        Ok(())
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
                    self.shared.spread(entries).await;
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
