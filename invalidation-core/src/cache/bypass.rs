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
    gates: Mutex<HashTable<Open<K, V>>>,
}

/// A gate, and how many stand at it.
struct Open<K, V> {
    gate: Arc<Gate<K, V>>,
    callers: u64,
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
        let gate = match gates.find_mut(hash, |open| key.equivalent(&open.gate.key)) {
            Some(open) => {
                open.callers += 1;
                Arc::clone(&open.gate)
            }
            None => {
                let gate = Arc::new(Gate {
                    hash,
                    key: key.to_owned(),
                    places: Semaphore::new(AT_ONCE),
                    gathering: Mutex::new(Gathering { id: 0, group: None }),
                });
                let open = Open {
                    gate: Arc::clone(&gate),
                    callers: 1,
                };
                gates.insert_unique(hash, open, |open| open.gate.hash);
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
        // Counted here rather than by the `Arc`, which the last two could each see the other still hold.
        if let Ok(mut entry) = gates.find_entry(gate.hash, |open| Arc::ptr_eq(&open.gate, gate)) {
            entry.get_mut().callers -= 1;
            if entry.get().callers == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P18: a key that nobody loads any more takes no room, however its last callers went away.
    #[test]
    fn p18_callers_who_leave_together_leave_no_gate_behind() {
        let bypass = Bypass::<u64, ()>::new();
        let first = bypass.enter(1, &1);
        let last = bypass.enter(1, &1);
        // Who left is out of the lock, and has not yet dropped its part of the gate.
        let still_dropping = Arc::clone(&first.gate);
        drop(first);
        drop(last);
        assert_eq!(bypass.gates.lock().len(), 0);
        drop(still_dropping);
    }
}
