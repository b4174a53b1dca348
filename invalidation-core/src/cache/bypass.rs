//! Loads while the log cannot be read: shared, never cached.

use std::sync::Arc;

use equivalent::Equivalent;
use hashbrown::HashTable;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::flight::{Follow, Lead};

/// How many bypassing loads of one key run at once.
const AT_ONCE: usize = 2;

/// The keys that are being loaded past the cache.
///
/// A value may be stale only with respect to a *caller*: who arrives after a load began may not have its
/// result, but all who arrive before the next one begins may share that.
pub(super) struct Bypass<K, V> {
    gates: Mutex<HashTable<Arc<Gate<K, V>>>>,
}

/// One key that is being loaded past the cache.
pub(super) struct Gate<K, V> {
    hash: u64,
    key: K,
    pub(super) places: Semaphore,
    gathering: Mutex<Gathering<V>>,
}

struct Gathering<V> {
    id: u64,
    /// Those who will share the load that begins next.
    group: Option<(Lead<V>, Follow<V>)>,
}

/// A caller who waits at a gate.
pub(super) struct AtGate<'a, K, V> {
    bypass: &'a Bypass<K, V>,
    gate: Arc<Gate<K, V>>,
}

impl<K, V> Bypass<K, V> {
    pub(super) fn new() -> Self {
        Self {
            gates: Mutex::new(HashTable::new()),
        }
    }

    pub(super) fn enter<Q>(&self, hash: u64, key: &Q) -> AtGate<'_, K, V>
    where
        Q: ?Sized + Equivalent<K> + ToOwned<Owned = K>,
    {
        let mut gates = self.gates.lock();
        let gate = match gates.find(hash, |gate| key.equivalent(&gate.key)) {
            Some(gate) => Arc::clone(gate),
            None => {
                let gate = Arc::new(Gate {
                    hash,
                    key: key.to_owned(),
                    places: Semaphore::new(AT_ONCE),
                    gathering: Mutex::new(Gathering { id: 0, group: None }),
                });
                gates.insert_unique(hash, Arc::clone(&gate), |gate| gate.hash);
                gate
            }
        };
        AtGate { bypass: self, gate }
    }
}

impl<K, V> Gate<K, V> {
    /// Joins those who wait for the next load; which group that is.
    pub(super) fn gather(&self, flight: impl FnOnce() -> (Lead<V>, Follow<V>)) -> (u64, Follow<V>) {
        let mut gathering = self.gathering.lock();
        let (_, follow) = gathering.group.get_or_insert_with(flight);
        let follow = follow.clone();
        (gathering.id, follow)
    }

    /// Begins the load of group `id`: who comes from now on gathers anew. `None` if it began already.
    pub(super) fn depart(&self, id: u64) -> Option<Lead<V>> {
        let mut gathering = self.gathering.lock();
        if gathering.id != id {
            return None;
        }
        gathering.id += 1;
        gathering.group.take().map(|(lead, _)| lead)
    }
}

impl<K, V> std::ops::Deref for AtGate<'_, K, V> {
    type Target = Gate<K, V>;
    fn deref(&self) -> &Gate<K, V> {
        &self.gate
    }
}

impl<K, V> Drop for AtGate<'_, K, V> {
    fn drop(&mut self) {
        let gate = &self.gate;
        let mut gates = self.bypass.gates.lock();
        // Two: the table's and this one. New ones are made under the lock alone.
        if Arc::strong_count(gate) == 2
            && let Ok(entry) = gates.find_entry(gate.hash, |other| Arc::ptr_eq(other, gate))
        {
            entry.remove();
        }
    }
}
