//! The fence for caches of other libraries.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{Begun, Consider, FlightTable, StdSync, Ticket};

const STRIPES: usize = 64;

/// Keeps loads that began before an invalidation out of a cache of another library (`P5`).
///
/// Most loader caches keep the value of a load that was in flight when its key was invalidated, and serve the
/// old value until its TTL. With a fence between the two, they do not:
///
/// ```
/// # use invalidation_core::Fence;
/// # let cache = std::sync::Mutex::new(std::collections::HashMap::new());
/// let fence = Fence::new();
///
/// // A read that misses: the ticket before the load, the insert inside `commit`.
/// let ticket = fence.begin(&7);
/// let value = "from the database";
/// fence.invalidate(&7, || cache.lock().unwrap().remove(&7)); // meanwhile
/// assert!(!ticket.commit(|| { cache.lock().unwrap().insert(7, value); }));
/// assert!(cache.lock().unwrap().is_empty());
/// ```
///
/// Every insert into the cache goes through [`FenceTicket::commit`], and every invalidation through
/// [`invalidate`](Self::invalidate) or [`invalidate_all`](Self::invalidate_all).
///
/// The closures run under a lock that is shared by a 64th of the keys: they must be short, must not wait, and
/// must not call the fence. Cheap to clone; clones share one fence. All methods may be called concurrently.
pub struct Fence<K: Send>(Arc<Shared<K>>);

struct Shared<K: Send> {
    flights: FlightTable<K, (), StdSync>,
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone + Send> Fence<K> {
    /// A fence with no load in flight.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            flights: FlightTable::new(STRIPES, 1),
            hasher: RandomState::default(),
        }))
    }

    /// A load of `key` begins. Call it *before* the load reads anything.
    pub fn begin(&self, key: &K) -> FenceTicket<K> {
        let begun = self.0.flights.begin(
            self.hash(key),
            key,
            || None::<()>,
            |()| Consider::Skip,
            || false,
            || (key.clone(), ()),
        );
        FenceTicket {
            ticket: match begun {
                Begun::Flight(ticket) => Some(ticket),
                _ => None,
            },
            fence: self.clone(),
        }
    }

    /// Invalidates `key`: no load of it that began before is kept, and `remove` takes it out of the cache.
    /// Returns what `remove` returns.
    pub fn invalidate<R>(&self, key: &K, remove: impl FnOnce() -> R) -> R {
        self.0.flights.invalidate(self.hash(key), key, remove)
    }

    /// Invalidates every key: no load that began before is kept, and `clear` empties the cache. Returns what
    /// `clear` returns. Takes time with the number of loads in flight.
    pub fn invalidate_all<R>(&self, clear: impl FnOnce() -> R) -> R {
        self.0.flights.clear_with(clear)
    }

    /// A transaction that will invalidate `key` is open: until [`release`](Self::release), no load of it is
    /// kept, since one could read the transaction's own uncommitted rows. Counted: each call needs its
    /// release.
    pub fn quarantine(&self, key: &K) {
        let hash = self.hash(key);
        self.0.flights.quarantine(hash, key, || key.clone());
    }

    /// One transaction on `key` less. Call it after [`invalidate`](Self::invalidate).
    pub fn release(&self, key: &K) {
        self.0.flights.release(self.hash(key), key);
    }

    /// Like [`quarantine`](Self::quarantine), for every key.
    pub fn quarantine_all(&self) {
        self.0.flights.quarantine_all();
    }

    /// Like [`release`](Self::release), for every key.
    pub fn release_all(&self) {
        self.0.flights.release_all();
    }

    fn hash(&self, key: &K) -> u64 {
        self.0.hasher.hash_one(key)
    }
}

impl<K: Hash + Eq + Clone + Send> Default for Fence<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Send> Clone for Fence<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Send> fmt::Debug for Fence<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("in_flight", &self.0.flights.in_flight())
            .finish()
    }
}

/// A load that is in flight. Dropping it ends the flight and keeps nothing.
#[must_use = "a ticket that is dropped keeps nothing: commit the load with it"]
pub struct FenceTicket<K: Send> {
    ticket: Option<Ticket>,
    fence: Fence<K>,
}

impl<K: Hash + Eq + Clone + Send> FenceTicket<K> {
    /// Ends the load, and runs `insert` unless the key was invalidated, or quarantined, since it began.
    /// Whether it ran.
    pub fn commit(mut self, insert: impl FnOnce()) -> bool {
        let Some(ticket) = self.ticket.take() else {
            return false;
        };
        let flights = &self.fence.0.flights;
        flights.finish(ticket, &[], |_| insert()).is_some()
    }
}

impl<K: Send> Drop for FenceTicket<K> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.fence.0.flights.abandon(ticket);
        }
    }
}

impl<K: Send> fmt::Debug for FenceTicket<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FenceTicket")
            .field("kept_to_itself", &self.ticket.is_none())
            .finish_non_exhaustive()
    }
}
