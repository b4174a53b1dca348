//! What an operator may set for a cache.

use std::time::Duration;

/// What an operator may set for one cache. `None` leaves it to the code; a value wins over the code, but
/// for [`ttl_cap`](Self::ttl_cap), which bounds both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSettings {
    /// The longest a value is served, counted from the start of its load.
    pub ttl: Option<Duration>,
    /// No TTL, positive or negative, is longer than this.
    pub ttl_cap: Option<Duration>,
    /// How long a negative value (`None`) is served.
    pub negative_ttl: Option<Duration>,
    /// The most a value may be stale; zero is a strict read.
    pub max_staleness: Option<Duration>,
    /// What to do when the log cannot be read in time.
    pub on_stale: Option<OnStale>,
    /// How many entries, or how much weight, the cache holds.
    pub capacity: Option<u64>,
    /// How many loads may run at once.
    pub max_concurrent_loads: Option<usize>,
    /// How long a load may take before those who wait for it load by themselves.
    pub load_timeout: Option<Duration>,
}

impl CacheSettings {
    /// These settings, and where they say nothing, those of `defaults`; but for
    /// [`negative_ttl`](Self::negative_ttl), which as a default concerns only caches that have negative values.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            ttl: self.ttl.or(defaults.ttl),
            ttl_cap: self.ttl_cap.or(defaults.ttl_cap),
            negative_ttl: self.negative_ttl,
            max_staleness: self.max_staleness.or(defaults.max_staleness),
            on_stale: self.on_stale.or(defaults.on_stale),
            capacity: self.capacity.or(defaults.capacity),
            max_concurrent_loads: self.max_concurrent_loads.or(defaults.max_concurrent_loads),
            load_timeout: self.load_timeout.or(defaults.load_timeout),
        }
    }
}

/// What a read does when the log cannot be read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnStale {
    /// Load, and do not cache. Who waits shares the next load, at most two in flight per key.
    #[default]
    Bypass,
    /// Fail with [`LoadError::Stale`](crate::LoadError::Stale).
    Fail,
    /// Serve what is cached until its TTL. Outside `P3`. A node that ended serves nothing all the same.
    Serve,
}
