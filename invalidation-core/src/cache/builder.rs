//! How a cache is set up.

use std::{
    fmt,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use foldhash::fast::RandomState;

use super::{
    Cache, CacheContext, Inner, OnStale,
    bypass::Bypass,
    entry::Weigh,
    expiry::{Expiry, Negative},
    limiter::Limiter,
    replica_lag::ReplicaLag,
    stats::Counters,
    store::Store,
};
use crate::{
    error::{Error, ErrorKind},
    fence::FlightTable,
    lease::cannot_back,
    node::Shared,
    words::{CacheKey, CacheName},
};

/// The locks of the flight table.
const STRIPES: usize = 64;

/// Sets up a cache. Nothing fails before [`build`](Self::build).
///
/// What the operator configured for the cache wins over what is set here; a configured `ttl_cap` bounds both.
#[must_use = "a builder does nothing until it is built"]
pub struct CacheBuilder<K, V> {
    context: CacheContext,
    name: CacheName,
    publisher: Option<Arc<Shared>>,
    capacity: u64,
    expected: Option<usize>,
    weigh: Option<Weigh<K, V>>,
    ttl: Duration,
    jitter: f64,
    negative: Option<Negative<V>>,
    max_staleness: Option<Duration>,
    on_stale: OnStale,
    replica_lag: Option<Duration>,
    max_concurrent_loads: Option<usize>,
    load_queue_timeout: Duration,
    load_timeout: Duration,
}

impl<K, V> CacheBuilder<K, V>
where
    K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(context: CacheContext, name: CacheName) -> Self {
        Self {
            context,
            name,
            publisher: None,
            capacity: 10_000,
            expected: None,
            weigh: None,
            ttl: Duration::from_secs(60),
            jitter: 0.1,
            negative: None,
            max_staleness: None,
            on_stale: OnStale::default(),
            replica_lag: None,
            max_concurrent_loads: None,
            load_queue_timeout: Duration::from_secs(1),
            load_timeout: Duration::from_secs(5),
        }
    }

    /// The node through which the cache invalidates. A cache made without one is for reading alone.
    pub(crate) fn publishing(mut self, publisher: Arc<Shared>) -> Self {
        self.publisher = Some(publisher);
        self
    }

    /// How many entries it holds, or how much weight when a [`weigher`](Self::weigher) is set. Default 10,000.
    pub fn capacity(mut self, capacity: u64) -> Self {
        self.capacity = capacity;
        self
    }

    /// How many entries are expected. Worth saying when a [`weigher`](Self::weigher) is set; default: the
    /// capacity, at most 10,000 with a weigher.
    pub const fn expected_entries(mut self, entries: usize) -> Self {
        self.expected = Some(entries);
        self
    }

    /// What an entry weighs; 0 counts as 1. Asked once for each value that is cached, outside of every lock.
    ///
    /// The capacity is divided among shards, at most four for each processor: what is heavier than the share of
    /// one is returned and not cached.
    pub fn weigher(mut self, weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        self.weigh = Some(Arc::new(weigh));
        self
    }

    /// The longest a value is served, counted from the start of its load and never extended. Default 60 s.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Which part of a TTL may be taken off by chance, so that entries do not expire together: from 0 to 1,
    /// default 0.1.
    pub const fn ttl_jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// The most a value may be stale (`P3`), from eventual to strict: with zero every read waits for a log read
    /// that began after it. Needs a log whose reads are not stale. Not set: the TTL alone bounds.
    pub const fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = Some(max_staleness);
        self
    }

    /// What a read does when the log cannot be read in time. Default [`OnStale::Bypass`].
    pub const fn on_stale(mut self, on_stale: OnStale) -> Self {
        self.on_stale = on_stale;
        self
    }

    /// For loaders that read a replica, which is never behind its primary by more than `lag`: what is loaded
    /// within that time after an invalidation is returned, but neither cached nor joined. Cannot be combined
    /// with [`max_staleness`](Self::max_staleness). A node then reads its own invalidation (`P6`) only from the
    /// cache: what the loader returns may still be older.
    pub const fn replica_lag(mut self, lag: Duration) -> Self {
        self.replica_lag = Some(lag);
        self
    }

    /// How many loads may run at once. Loads inside a load need no place. Default: no limit.
    pub const fn max_concurrent_loads(mut self, loads: usize) -> Self {
        self.max_concurrent_loads = Some(loads);
        self
    }

    /// How long a load waits for its place before it fails with
    /// [`LoadError::Overloaded`](super::LoadError::Overloaded). Default 1 s.
    pub const fn load_queue_timeout(mut self, patience: Duration) -> Self {
        self.load_queue_timeout = patience;
        self
    }

    /// How long a load may take. It is dropped then, and one of those who waited loads with its own closure.
    /// Default 5 s.
    pub const fn load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = timeout;
        self
    }

    /// The cache, known to its node from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the settings contradict each other or what the log can do, or when the node
    /// has a cache of this name.
    pub fn build(self) -> Result<Cache<K, V>, Error> {
        let settings = &self.context.settings;
        let capacity = settings.capacity.unwrap_or(self.capacity);
        let ttl = settings.ttl.unwrap_or(self.ttl);
        let max_staleness = settings.max_staleness.or(self.max_staleness);
        let load_timeout = settings.load_timeout.unwrap_or(self.load_timeout);
        let loads = settings.max_concurrent_loads.or(self.max_concurrent_loads);
        let negative = match (self.negative.clone(), settings.negative_ttl) {
            (Some(negative), ttl) => Some(Negative {
                ttl: ttl
                    .or(self.context.default_negative_ttl)
                    .unwrap_or(negative.ttl),
                ..negative
            }),
            (None, Some(_)) => {
                return Err(self.refuse(
                    "negative_ttl is configured, but its code names no negative values: call \
                     negative_ttl on the builder, or remove the setting",
                ));
            }
            (None, None) => None,
        };
        let ttl_cap = settings.ttl_cap;
        self.check(capacity, ttl, ttl_cap, max_staleness, load_timeout, loads)?;

        let expected = self.expected.unwrap_or_else(|| {
            let all = usize::try_from(capacity).unwrap_or(usize::MAX);
            match self.weigh {
                Some(_) => all.min(10_000),
                None => all,
            }
        });
        let clock = self.context.clock.clone();
        let margin = clock.lag();
        let start = clock.now();
        // Few enough to be small beside the entries, many enough that two tags seldom share both their cells.
        let cells = (expected / 8).clamp(1_024, 16_384);
        let inner = Arc::new(Inner {
            publisher: self.publisher.clone(),
            store: Store::new(capacity, expected, RandomState::default()),
            limit: max_staleness.map_or(u64::MAX, |limit| {
                u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
            }),
            max_staleness,
            on_stale: settings.on_stale.unwrap_or(self.on_stale),
            flights: FlightTable::new(STRIPES, cells),
            expiry: Expiry {
                ttl,
                cap: ttl_cap,
                jitter: self.jitter,
                negative,
                margin,
            },
            weigh: self.weigh.clone(),
            replica_lag: self
                .replica_lag
                .map(|lag| ReplicaLag::new(lag.saturating_add(margin), cells, start)),
            limiter: loads.map(|loads| Limiter::new(loads, self.load_queue_timeout)),
            load_timeout,
            bypass: Bypass::new(),
            counters: Counters::default(),
            wants_sweep: AtomicBool::new(false),
            last_sweep: AtomicU64::new(start.as_nanos()),
            name: self.name.clone(),
            lease: Arc::clone(&self.context.lease),
            clock,
        });
        let claim = (self.context.register)(&self.name, Arc::clone(&inner) as _, max_staleness)?;
        Ok(Cache::new(inner, claim))
    }

    fn check(
        &self,
        capacity: u64,
        ttl: Duration,
        ttl_cap: Option<Duration>,
        max_staleness: Option<Duration>,
        load_timeout: Duration,
        loads: Option<usize>,
    ) -> Result<(), Error> {
        let shortest = ttl_cap.map_or(ttl, |cap| cap.min(ttl));
        let lag = self.context.clock.lag();
        if capacity == 0 {
            return Err(self.refuse("its capacity is 0: give it room for at least one entry"));
        }
        if shortest.is_zero() {
            return Err(self.refuse("its ttl, or the configured ttl_cap, is 0: make it longer"));
        }
        if shortest <= lag {
            return Err(self.refuse(format!(
                "its ttl of {shortest:?} is not above the {lag:?} by which the clock may lag: make it \
                 longer, or use NodeClock::Boottime"
            )));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(
                self.refuse("its ttl_jitter is a part of the ttl: use a number from 0 to 1")
            );
        }
        if load_timeout.is_zero() {
            return Err(self.refuse("its load_timeout is 0: no load could end in time"));
        }
        if loads == Some(0) {
            return Err(self.refuse("its max_concurrent_loads is 0: nothing could be loaded"));
        }
        let Some(max_staleness) = max_staleness else {
            return Ok(());
        };
        if self.replica_lag.is_some() {
            return Err(self.refuse(
                "it has both replica_lag and max_staleness: a loader that reads a replica cannot \
                 bound staleness; load from the primary, or drop max_staleness",
            ));
        }
        match cannot_back(self.context.log.as_ref(), max_staleness) {
            Some(why) => Err(self.refuse(why)),
            None => Ok(()),
        }
    }

    fn refuse(&self, why: impl fmt::Display) -> Error {
        let message = format!("cache {:?} cannot be built: {why}", self.name.as_str());
        Error::new(ErrorKind::Invalid, "cache", "build", message)
    }
}

impl<K, T> CacheBuilder<K, Option<T>> {
    /// How long `None` is served, in place of the TTL. A `None` is dropped like any other value: by its key,
    /// or by the tags that its loader gave it.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative = Some(Negative {
            is: Option::is_none,
            ttl,
        });
        self
    }
}

impl<K, V> fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
