//! How invalidations reach a cache.

use std::{hash::Hash, sync::atomic::Ordering};

use equivalent::Equivalent;

use super::{Inner, stats::count};
use crate::{
    error::BoxError,
    target::InvalidationTarget,
    words::{CacheKey, KeyError, Scope, Text},
};

impl<K, V> Inner<K, V>
where
    K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Drops one key on this node alone.
    pub(crate) fn drop_key<Q>(&self, key: &Q)
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let hash = self.hash(key);
        if let Some(lag) = &self.replica_lag {
            lag.key_invalidated(hash, self.clock.now());
        }
        // What is removed is dropped outside of the lock.
        let removed = self
            .flights
            .invalidate(hash, key, || self.store.remove(hash, key));
        drop(removed);
    }

    /// Drops what carries any of `tags`, on this node alone.
    pub(crate) fn drop_tags<'t>(&self, tags: impl IntoIterator<Item = &'t str>) {
        let now = self.replica_lag.as_ref().map(|lag| (lag, self.clock.now()));
        self.flights
            .invalidate_tags(tags.into_iter().map(|tag| self.tag_id(tag)).inspect(|id| {
                if let Some((lag, now)) = &now {
                    lag.tag_invalidated(*id, *now);
                }
            }));
        self.wants_sweep.store(true, Ordering::Relaxed);
    }

    /// Drops everything, on this node alone, in constant time.
    pub(crate) fn drop_all(&self) {
        if let Some(lag) = &self.replica_lag {
            lag.all_invalidated(self.clock.now());
        }
        self.flights.clear();
        self.wants_sweep.store(true, Ordering::Relaxed);
    }

    fn widen(&self, text: &str, error: &KeyError) {
        count(&self.counters.widened);
        let cache = self.name.to_string();
        metrics::counter!("cache_invalidation_widened_total", "cache" => cache, "reason" => "key_unreadable")
            .increment(1);
        tracing::warn!(cache = %self.name, key = text, %error, "a key that does not parse: the whole cache is dropped");
        self.drop_all();
    }

    /// The keys of `texts`; `None` if one does not parse.
    fn parse(texts: &[Text]) -> Option<Vec<K>> {
        texts.iter().map(|t| K::from_text(t).ok()).collect()
    }
}

impl<K, V> InvalidationTarget for Inner<K, V>
where
    K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn apply(&self, scope: &Scope) -> Result<(), BoxError> {
        match scope {
            Scope::Keys(texts) => {
                for text in texts.iter() {
                    match K::from_text(text) {
                        Ok(key) => self.drop_key(&key),
                        // Unknown input widens (`P12`), and covers the keys after it too.
                        Err(error) => {
                            self.widen(text, &error);
                            break;
                        }
                    }
                }
            }
            Scope::Tags(tags) => self.drop_tags(tags.iter().map(|tag| &**tag)),
            Scope::All => self.drop_all(),
        }
        Ok(())
    }

    fn flush(&self) {
        let cache = self.name.to_string();
        metrics::counter!("cache_invalidation_cache_flushes_total", "cache" => cache).increment(1);
        self.drop_all();
    }

    // A scope that does not parse is quarantined, and released, as the whole.
    fn quarantine(&self, scope: &Scope) {
        match scope {
            Scope::Keys(texts) => match Self::parse(texts) {
                Some(keys) => {
                    for key in &keys {
                        self.flights.quarantine(self.hash(key), key, || key.clone());
                    }
                }
                None => self.flights.quarantine_all(),
            },
            Scope::Tags(tags) => self
                .flights
                .quarantine_tags(tags.iter().map(|tag| self.tag_id(tag))),
            Scope::All => self.flights.quarantine_all(),
        }
    }

    fn release(&self, scope: &Scope) {
        match scope {
            Scope::Keys(texts) => match Self::parse(texts) {
                Some(keys) => {
                    for key in &keys {
                        self.flights.release(self.hash(key), key);
                    }
                }
                None => self.flights.release_all(),
            },
            Scope::Tags(tags) => self
                .flights
                .release_tags(tags.iter().map(|tag| self.tag_id(tag))),
            Scope::All => self.flights.release_all(),
        }
    }

    fn maintain(&self) {
        if self.wants_sweep() {
            self.sweep();
        }
        let stats = self.stats();
        let cache = self.name.to_string();
        metrics::gauge!("cache_invalidation_cache_entries", "cache" => cache.clone())
            .set(stats.entries as f64);
        metrics::gauge!("cache_invalidation_cache_weight", "cache" => cache.clone())
            .set(stats.weight as f64);
        metrics::counter!("cache_invalidation_cache_hits_total", "cache" => cache.clone())
            .absolute(stats.hits);
        metrics::counter!("cache_invalidation_cache_misses_total", "cache" => cache)
            .absolute(stats.misses);
    }
}
