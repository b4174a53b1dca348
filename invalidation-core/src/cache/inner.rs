//! The state that the clones of a cache share, and its hit path.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use equivalent::Equivalent;
use foldhash::fast::RandomState;

use super::{
    CacheStats, OnStale,
    bypass::Bypass,
    entry::{Entry, Life, TagIds, Weigh},
    expiry::Expiry,
    flight::Follow,
    limiter::Limiter,
    replica_lag::ReplicaLag,
    stats::Counters,
    store::Store,
};
use crate::{
    clock::{NodeClock, Tick},
    fence::{FlightTable, StdSync},
    lease::LeaseState,
    node::Shared,
    words::CacheName,
};

/// The state that the clones of a cache share: what invalidations are applied to.
pub(crate) struct Inner<K: Send, V: Send + Sync> {
    pub(super) name: CacheName,
    /// Through which it invalidates; `None` in a test of the cache alone.
    pub(super) publisher: Option<Arc<Shared>>,
    pub(super) clock: NodeClock,
    pub(super) lease: Arc<LeaseState>,
    /// `max_staleness` in nanoseconds; `u64::MAX` without one, which asks only whether the node is open.
    pub(super) limit: u64,
    pub(super) max_staleness: Option<Duration>,
    pub(super) on_stale: OnStale,
    pub(super) store: Store<K, Entry<V>, RandomState>,
    /// `None` for fills by hand, which nobody can wait for.
    pub(super) flights: FlightTable<K, Option<Follow<V>>, StdSync>,
    pub(super) expiry: Expiry<V>,
    pub(super) weigh: Option<Weigh<K, V>>,
    pub(super) replica_lag: Option<ReplicaLag>,
    pub(super) limiter: Option<Limiter>,
    pub(super) load_timeout: Duration,
    pub(super) bypass: Bypass<K, V>,
    pub(super) counters: Counters,
    pub(super) wants_sweep: AtomicBool,
    pub(super) last_sweep: AtomicU64,
}

/// What a look at the cache found.
pub(super) enum Probe<V> {
    Hit(V),
    Miss,
    /// The lease does not allow to serve at all.
    NotFresh,
}

impl<K, V> Inner<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    // The order is the promise (`P3`): arrival, clock, lease, lookup, tags. A lookup before the lease could
    // return what an invalidation removed whose log read then renewed the lease.
    //
    // Inlined whole, as are the clock and the futures of reads: the calls and the values that they would pass
    // through memory cost a quarter of a hit.
    #[inline(always)]
    pub(super) fn probe<Q>(&self, key: &Q) -> Probe<V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let now = self.clock.now();
        if !self.lease.is_fresh(now, self.limit) {
            return Probe::NotFresh;
        }
        match self.lookup(key, now) {
            Some(value) => {
                self.counters.hit();
                Probe::Hit(value)
            }
            None => Probe::Miss,
        }
    }

    #[inline(always)]
    pub(super) fn lookup<Q>(&self, key: &Q, now: Tick) -> Option<V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.store.get(self.hash(key), key, |entry| {
            self.is_servable(entry, now).then(|| entry.value().clone())
        })
    }

    #[inline(always)]
    pub(super) fn is_servable(&self, entry: &Entry<V>, now: Tick) -> bool {
        match entry {
            Entry::Plain { life, .. } => self.is_alive(*life, now),
            Entry::Tagged(tagged) => {
                self.is_alive(tagged.life, now)
                    && self.flights.tags_hold(&tagged.tags, tagged.life.start)
            }
        }
    }

    #[inline(always)]
    fn is_alive(&self, life: Life, now: Tick) -> bool {
        now.as_nanos() < life.expires.get() && life.start >= self.flights.cleared()
    }

    #[inline(always)]
    pub(super) fn hash<Q>(&self, key: &Q) -> u64
    where
        Q: ?Sized + Hash,
    {
        self.store.hash(key)
    }

    pub(super) fn tag_ids(&self, tags: &[Box<str>]) -> TagIds {
        if tags.is_empty() {
            return TagIds::default(); // allocates nothing
        }
        tags.iter().map(|tag| self.tag_id(tag)).collect()
    }

    pub(super) fn tag_id(&self, tag: &str) -> u64 {
        self.store.hash(tag)
    }

    pub(super) fn stats(&self) -> CacheStats {
        self.counters
            .read(self.store.len() as u64, self.store.weight())
    }

    /// Whether a sweep would find much.
    pub(crate) fn wants_sweep(&self) -> bool {
        let since = self
            .clock
            .now()
            .since(Tick::from_nanos(self.last_sweep.load(Ordering::Relaxed)));
        self.wants_sweep.load(Ordering::Relaxed) || since >= self.expiry.longest()
    }

    /// Drops the entries that are no longer served: cleared, expired, invalidated by tag. Locks one shard of
    /// the store at a time.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now();
        self.wants_sweep.store(false, Ordering::Relaxed);
        self.last_sweep.store(now.as_nanos(), Ordering::Relaxed);
        self.store.sweep(|entry| self.is_servable(entry, now));
    }
}
