//! The cache as its users see it.

use std::{fmt, future::Future, hash::Hash, sync::Arc};

use equivalent::Equivalent;

use super::{
    CacheStats, Inner, LoadError, Loaded, OnStale,
    inner::Probe,
    read::{Get, GetOrLoad},
    stats::count,
};
use crate::{
    error::BoxError,
    node::NameClaim,
    words::{CacheKey, CacheName},
};

/// A cache whose entries are dropped on every node when any node, or any program that writes to the log,
/// invalidates them.
///
/// Cheap to clone; clones share one cache. Values are cloned out, under a lock that the readers of a part of
/// the keys share, so large ones belong into an `Arc`; `Clone` of values, and `Eq` and `Hash` of keys, must not
/// call the cache. Every method may be called concurrently, and every future is cancel-safe: who waited for a
/// load that was cancelled takes it over.
///
/// Reads that miss use timers of Tokio, so they are awaited inside a Tokio runtime.
pub struct Cache<K: Send, V: Send + Sync> {
    inner: Arc<Inner<K, V>>,
    claim: NameClaim,
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) const fn new(inner: Arc<Inner<K, V>>, claim: NameClaim) -> Self {
        Self { inner, claim }
    }

    /// The value of `key`, if it may be served at this moment. Never waits and never loads; with a
    /// `max_staleness` of zero it never finds anything.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        match self.inner.probe(key) {
            Probe::Hit(value) => Some(value),
            Probe::Miss => {
                count(&self.inner.counters.misses);
                None
            }
            Probe::NotFresh => {
                let inner = &self.inner;
                let serves = inner.on_stale == OnStale::Serve
                    && inner.lease.is_down()
                    && inner.is_started(inner.clock.now());
                let value = serves.then(|| inner.lookup(key, inner.clock.now()))?;
                value.map(|value| inner.served(value))
            }
        }
    }

    /// The value of `key`, if it is cached. Waits for a log read where `max_staleness` asks for one; never
    /// loads. When the log cannot be read in time, a cache that bypasses answers `None`.
    ///
    /// The lookup happens when the future is first polled. A hit costs no allocation.
    ///
    /// # Errors
    /// [`LoadError::Stale`] when the log cannot be read in time and `on_stale` is to fail.
    pub fn get<'a, Q>(
        &'a self,
        key: &'a Q,
    ) -> impl Future<Output = Result<Option<V>, LoadError>> + Send
    where
        Q: ?Sized + Hash + Sync + Equivalent<K>,
    {
        Get::new(&self.inner, key)
    }

    /// The value of `key`: from the cache, or else by `load`, which may borrow.
    ///
    /// Concurrent loads of one key run once, and share the value or the error (`P7`). A caller who comes after
    /// an invalidation never gets what was loaded before it. A load that an invalidation overtakes is returned to
    /// those who waited for it and is not cached (`P5`).
    ///
    /// The lookup happens when the future is first polled. A hit costs no allocation.
    ///
    /// # Cancellation
    /// The load runs inside the caller who came first, and is dropped with it; one of those who waited then
    /// loads with its own closure. A load that takes longer than `load_timeout` is dropped likewise, and nobody
    /// waits longer than twice that.
    ///
    /// # Errors
    /// What the loader returned, or one of the other [`LoadError`]s.
    pub fn get_or_load<'a, Q, F, Fut, T, E>(
        &'a self,
        key: &'a Q,
        load: F,
    ) -> impl Future<Output = Result<V, LoadError>> + Send
    where
        Q: ?Sized + Hash + Sync + ToOwned<Owned = K> + Equivalent<K>,
        F: FnOnce() -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, E>> + Send + 'a,
        T: Into<Loaded<V>> + Send + 'a,
        E: Into<BoxError> + Send + 'a,
    {
        GetOrLoad::new(&self.inner, key, load)
    }

    /// Begins a fill by hand, for a value that comes another way than by a loader. Call it *before* the value
    /// is read: what is invalidated between this and [`Fill::complete`](super::Fill::complete) is not kept.
    pub fn start_fill<Q>(&self, key: &Q) -> super::Fill<K, V>
    where
        Q: ?Sized + Hash + ToOwned<Owned = K> + Equivalent<K>,
    {
        super::Fill::begin(&self.inner, key)
    }

    /// The cache's name, the same on every node.
    pub fn name(&self) -> &CacheName {
        &self.inner.name
    }

    /// What this cache did on this node since it was built.
    pub fn stats(&self) -> CacheStats {
        self.inner.stats()
    }

    /// What invalidations are applied to.
    pub(crate) const fn inner(&self) -> &Arc<Inner<K, V>> {
        &self.inner
    }
}

impl<K: Send, V: Send + Sync> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            claim: self.claim.clone(),
        }
    }
}

impl<K: Send, V: Send + Sync> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}
