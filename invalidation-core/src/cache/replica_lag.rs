//! For loaders that read a replica.

use std::time::Duration;

use crate::{
    clock::Tick,
    fence::{Sketch, StdSync},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is loaded within the lag after an invalidation may be older than it, and is kept from others.
///
/// Memory is fixed: keys that share a cell with an invalidated one count as invalidated too (`P11`).
pub(super) struct ReplicaLag {
    lag: Duration,
    /// When everything was last invalidated; the start counts (`P14`).
    all: AtomicU64,
    keys: Sketch<StdSync>,
    tags: Sketch<StdSync>,
}

impl ReplicaLag {
    pub(super) fn new(lag: Duration, cells: usize, start: Tick) -> Self {
        Self {
            lag,
            all: AtomicU64::new(start.as_nanos()),
            keys: Sketch::new(cells),
            tags: Sketch::new(cells),
        }
    }

    // Each of these is called *before* the invalidation moves the sequence, so that a load which counts it as
    // passed finds the trace.

    pub(super) fn key_invalidated(&self, hash: u64, now: Tick) {
        self.keys.raise(hash, now.as_nanos());
    }

    pub(super) fn tag_invalidated(&self, tag: u64, now: Tick) {
        self.tags.raise(tag, now.as_nanos());
    }

    pub(super) fn all_invalidated(&self, now: Tick) {
        self.all.fetch_max(now.as_nanos(), Ordering::AcqRel);
    }

    /// Whether a load of the key that begins at `began` may miss an invalidation.
    pub(super) fn covers_key(&self, hash: u64, began: Tick) -> bool {
        self.within(
            self.all.load(Ordering::Acquire).max(self.keys.bound(hash)),
            began,
        )
    }

    /// Whether a load with these tags that began at `began` may miss an invalidation.
    pub(super) fn covers_tags(&self, tags: &[u64], began: Tick) -> bool {
        tags.iter()
            .any(|tag| self.within(self.tags.bound(*tag), began))
    }

    fn within(&self, invalidated: u64, began: Tick) -> bool {
        invalidated != 0 && began < Tick::from_nanos(invalidated) + self.lag
    }
}
