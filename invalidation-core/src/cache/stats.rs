//! Counts of what a cache did.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// What a cache did since it was built. Counts are read one by one, not at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads answered from the cache. Counted without locking: with more than 64 threads some may be lost.
    pub hits: u64,
    /// Reads that found nothing to serve.
    pub misses: u64,
    /// Loads begun.
    pub loads: u64,
    /// Loads that gave no value: errors, time-outs, panics, and those that found no room.
    pub load_errors: u64,
    /// Of these, panics.
    pub panics: u64,
    /// Reads that waited for the load of another.
    pub joins: u64,
    /// Values that were loaded and not cached, because they were invalidated meanwhile, or could not be
    /// trusted yet.
    pub uncached: u64,
    /// Reads that loaded for themselves because the log could not be read in time.
    pub bypassed: u64,
    /// Reads that waited for the log.
    pub waits: u64,
    /// Invalidations that were widened to the whole cache.
    pub widened: u64,
    /// Entries held, also those that are no longer served and not yet swept.
    pub entries: u64,
    /// Their weight; their number unless a weigher is set.
    pub weight: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: Hits,
    pub(super) misses: AtomicU64,
    pub(super) loads: AtomicU64,
    pub(super) load_errors: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) joins: AtomicU64,
    pub(super) uncached: AtomicU64,
    pub(super) bypassed: AtomicU64,
    pub(super) waits: AtomicU64,
    pub(super) widened: AtomicU64,
}

impl Counters {
    #[inline]
    pub(super) fn hit(&self) {
        self.hits.count();
    }

    pub(super) fn read(&self, entries: u64, weight: u64) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: self.hits.sum(),
            misses: read(&self.misses),
            loads: read(&self.loads),
            load_errors: read(&self.load_errors),
            panics: read(&self.panics),
            joins: read(&self.joins),
            uncached: read(&self.uncached),
            bypassed: read(&self.bypassed),
            waits: read(&self.waits),
            widened: read(&self.widened),
            entries,
            weight,
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

const LANES: usize = 64;

/// One count per thread, on a cache line of its own, so that hits do not contend.
#[derive(Debug)]
struct Hits(Box<[Lane]>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane(AtomicU64);

impl Default for Hits {
    fn default() -> Self {
        Self((0..LANES).map(|_| Lane::default()).collect())
    }
}

static NEXT_LANE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl Hits {
    // Load and store rather than add: a locked instruction would cost a fifth of a hit. Two threads on one lane
    // may lose a count, which a statistic can bear.
    #[inline]
    fn count(&self) {
        let lane = LANE.with(|lane| match lane.get() {
            usize::MAX => {
                let next = NEXT_LANE.fetch_add(1, Ordering::Relaxed) % LANES;
                lane.set(next);
                next
            }
            lane => lane,
        });
        if let Some(Lane(hits)) = self.0.get(lane) {
            hits.store(hits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    fn sum(&self) -> u64 {
        self.0
            .iter()
            .map(|lane| lane.0.load(Ordering::Relaxed))
            .sum()
    }
}
