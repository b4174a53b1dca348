//! What the store holds.

use std::{fmt, sync::Arc};

use quick_cache::Weighter;

/// A cached value with what is needed to tell whether it may be served: 24 bytes.
#[derive(Debug, Clone)]
pub(super) struct Entry<V> {
    pub(super) value: V,
    /// The sequence at the start of its load.
    pub(super) start: u64,
    /// The tick from which it is not served, in nanoseconds.
    pub(super) expires: u64,
    pub(super) tags: Option<Arc<TagIds>>,
}

/// The ids of an entry's tags. Behind a thin pointer, since few entries have any.
#[derive(Debug)]
pub(super) struct TagIds(pub(super) Box<[u64]>);

impl TagIds {
    pub(super) fn of(tags: &Option<Arc<Self>>) -> &[u64] {
        tags.as_ref().map_or(&[], |tags| &tags.0)
    }
}

/// The caller's measure of an entry.
pub(super) type Weigh<K, V> = Arc<dyn Fn(&K, &V) -> u32 + Send + Sync>;

/// Weighs entries for the store.
pub(super) struct EntryWeighter<K, V>(pub(super) Option<Weigh<K, V>>);

impl<K, V> Weighter<K, Entry<V>> for EntryWeighter<K, V> {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        match &self.0 {
            None => 1,
            // The store never evicts what weighs nothing.
            Some(weigh) => u64::from(weigh(key, &entry.value)).max(1),
        }
    }
}

impl<K, V> Clone for EntryWeighter<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> fmt::Debug for EntryWeighter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryWeighter")
    }
}
