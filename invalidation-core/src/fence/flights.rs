//! The loads in flight, and what was invalidated since each began.

use std::collections::HashMap;

use equivalent::Equivalent;
use hashbrown::HashTable;

use super::{
    sketch::Sketch,
    sync::{Counter, Lock, SyncTypes},
};

/// The loads in flight of one cache, by key; `P` is what a caller who joins one is given.
///
/// A *sequence* grows with every invalidation that is applied here. A flight registers with the sequence at
/// its start, and stays registered until it finishes, is dropped, or an invalidation takes it out: only a
/// flight that is still registered may be cached or joined. So an invalidation of a key touches the flights of
/// that key alone, and a load of 10 ms survives a million invalidations a second of other keys.
///
/// The stripes guard: bump, take out and remove from the store are atomic against look, check and insert. A
/// hit takes none. `clear` takes none either: it moves [`cleared`](Self::cleared), with which the start of a
/// flight is compared at its insert *and* the start that is stored beside a value at each hit, so that no
/// order of the two leaves an older value servable.
pub(crate) struct FlightTable<K: Send, P: Send, S: SyncTypes> {
    sequence: S::Counter,
    /// The sequence of the last `clear`.
    cleared: S::Counter,
    /// Flights that began below it are neither joined nor kept; stored values are not concerned.
    barred: S::Counter,
    /// How many open transactions will invalidate everything.
    closed: S::Counter,
    stripes: Box<[S::Lock<Stripe<K, P>>]>,
    /// When each tag was last invalidated.
    tags: Sketch<S>,
    /// How many open transactions will invalidate each tag.
    closed_tags: S::Lock<HashMap<u64, u64>>,
}

struct Stripe<K, P> {
    last_id: u64,
    flights: HashTable<Flight<K, P>>,
    /// How many open transactions will invalidate each key.
    closed: HashTable<Closed<K>>,
}

struct Flight<K, P> {
    id: u64,
    hash: u64,
    start: u64,
    key: K,
    payload: P,
}

struct Closed<K> {
    hash: u64,
    key: K,
    transactions: u64,
}

/// Names a flight that was begun. Whoever holds it calls [`FlightTable::finish`] or
/// [`FlightTable::abandon`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) hash: u64,
    id: u64,
    /// The sequence when it began.
    pub(crate) start: u64,
}

/// What [`FlightTable::begin`] came to.
#[derive(Debug)]
pub(crate) enum Begun<P, R> {
    /// The store had it after all.
    Stored(R),
    /// It is being loaded.
    Joined(P),
    /// It is being loaded, and the caller may not join before it has waited.
    Busy,
    /// The caller loads it.
    Flight(Ticket),
    /// The caller loads it for itself alone.
    Solo(Solo),
}

/// Why a load is neither joined nor kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Solo {
    /// A transaction that will invalidate it is open.
    Quarantined,
    /// The caller's own reason.
    Refused,
}

/// What a caller thinks of a flight it could join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consider {
    Join,
    Busy,
    Skip,
}

impl<K: Send, P: Send, S: SyncTypes> FlightTable<K, P, S> {
    /// A table with `stripes` locks, rounded up to a power of two, and `tag_cells` cells for tags.
    pub(crate) fn new(stripes: usize, tag_cells: usize) -> Self {
        let stripe = || Stripe {
            last_id: 0,
            flights: HashTable::new(),
            closed: HashTable::new(),
        };
        Self {
            sequence: Counter::new(1),
            cleared: Counter::new(0),
            barred: Counter::new(0),
            closed: Counter::new(0),
            stripes: (0..stripes.next_power_of_two())
                .map(|_| Lock::new(stripe()))
                .collect(),
            tags: Sketch::new(tag_cells),
            closed_tags: Lock::new(HashMap::new()),
        }
    }

    /// The number of invalidations applied so far, and one.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// What began below it is gone.
    #[inline]
    pub(crate) fn cleared(&self) -> u64 {
        self.cleared.get()
    }

    /// Whether none of `tags` was invalidated after `start`.
    #[inline]
    pub(crate) fn tags_hold(&self, tags: &[u64], start: u64) -> bool {
        tags.iter().all(|tag| self.tags.bound(*tag) <= start)
    }

    /// Whether a transaction that will invalidate one of `tags` is open.
    pub(crate) fn tags_quarantined(&self, tags: &[u64]) -> bool {
        !tags.is_empty()
            && self
                .closed_tags
                .with(|closed| tags.iter().any(|tag| closed.contains_key(tag)))
    }

    /// Begins or joins a load of `key`, whose hash is `hash`.
    ///
    /// `stored` looks into the store once more: a flight that ended since the caller looked has left its value
    /// there. `consider` is asked about flights of the key that are still good, newest first. `refuse` says
    /// whether the caller has a reason of its own to keep the load to itself; it runs after the sequence is
    /// read, so that it sees the trace of every invalidation that the start counts as passed.
    pub(crate) fn begin<Q, R>(
        &self,
        hash: u64,
        key: &Q,
        stored: impl FnOnce() -> Option<R>,
        consider: impl Fn(&P) -> Consider,
        refuse: impl FnOnce() -> bool,
        make: impl FnOnce() -> (K, P),
    ) -> Begun<P, R>
    where
        Q: ?Sized + Equivalent<K>,
        P: Clone,
    {
        self.stripe(hash).with(|stripe| {
            if let Some(value) = stored() {
                return Begun::Stored(value);
            }
            let oldest = self.cleared.get().max(self.barred.get());
            let mut best: Option<(&Flight<K, P>, Consider)> = None;
            for flight in stripe.flights.iter_hash(hash) {
                if flight.start >= oldest
                    && best.as_ref().is_none_or(|(best, _)| best.id < flight.id)
                    && key.equivalent(&flight.key)
                {
                    let verdict = consider(&flight.payload);
                    if verdict != Consider::Skip {
                        best = Some((flight, verdict));
                    }
                }
            }
            match best {
                Some((flight, Consider::Join)) => Begun::Joined(flight.payload.clone()),
                Some(_) => Begun::Busy,
                None => self.register(stripe, hash, key, refuse, make),
            }
        })
    }

    /// Stamps a flight anew whose load has not begun yet, as if it began now. One that was taken out meanwhile
    /// is registered again: what it will load is not older than the invalidation.
    pub(crate) fn restart<Q, R>(
        &self,
        ticket: Ticket,
        key: &Q,
        refuse: impl FnOnce() -> bool,
        make: impl FnOnce() -> (K, P),
    ) -> Begun<P, R>
    where
        Q: ?Sized + Equivalent<K>,
    {
        let (begun, old) = self.stripe(ticket.hash).with(|stripe| {
            let old = stripe.take(ticket);
            let begun = self.register(stripe, ticket.hash, key, refuse, make);
            (begun, old)
        });
        drop(old);
        begun
    }

    fn register<Q, R>(
        &self,
        stripe: &mut Stripe<K, P>,
        hash: u64,
        key: &Q,
        refuse: impl FnOnce() -> bool,
        make: impl FnOnce() -> (K, P),
    ) -> Begun<P, R>
    where
        Q: ?Sized + Equivalent<K>,
    {
        // The start first: whoever counts as passed has left its traces before it moved the sequence.
        let start = self.sequence.get();
        let closed = self.closed.get() > 0
            || stripe
                .closed
                .find(hash, |closed| key.equivalent(&closed.key))
                .is_some();
        if closed {
            return Begun::Solo(Solo::Quarantined);
        }
        if refuse() {
            return Begun::Solo(Solo::Refused);
        }
        stripe.last_id += 1;
        let id = stripe.last_id;
        let (key, payload) = make();
        let flight = Flight {
            id,
            hash,
            start,
            key,
            payload,
        };
        stripe.flights.insert_unique(hash, flight, |f| f.hash);
        Begun::Flight(Ticket { hash, id, start })
    }

    /// Ends a flight, and runs `insert` with its key if it may be kept. `insert` must not call back into
    /// this table.
    pub(crate) fn finish<R>(
        &self,
        ticket: Ticket,
        tags: &[u64],
        insert: impl FnOnce(K) -> R,
    ) -> Option<R>
    where
        K: Eq,
    {
        let (kept, gone) = self.stripe(ticket.hash).with(|stripe| {
            let Some(own) = stripe.take(ticket) else {
                return (None, Vec::new());
            };
            let oldest = self.cleared.get().max(self.barred.get());
            // Quarantine before sequence: a transaction that ended has invalidated before it was released.
            if own.start < oldest || self.tags_quarantined(tags) || !self.tags_hold(tags, own.start)
            {
                return (None, Vec::new());
            }
            // An older load of the key, one that timed out, must not overwrite this one when it ends.
            let older = stripe.take_all(ticket.hash, |f| f.id < own.id && f.key == own.key);
            (Some(insert(own.key)), older)
        });
        drop(gone);
        kept
    }

    /// Ends a flight that has nothing to keep.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let gone = self.stripe(ticket.hash).with(|stripe| stripe.take(ticket));
        drop(gone);
    }

    /// Invalidates one key; `remove` takes it out of the store. `remove` must not call back into this table.
    pub(crate) fn invalidate<Q, R>(&self, hash: u64, key: &Q, remove: impl FnOnce() -> R) -> R
    where
        Q: ?Sized + Equivalent<K>,
    {
        let (result, gone) = self.stripe(hash).with(|stripe| {
            self.sequence.increment();
            let gone = stripe.take_all(hash, |f| key.equivalent(&f.key));
            (remove(), gone)
        });
        drop(gone);
        result
    }

    /// Invalidates the tags.
    pub(crate) fn invalidate_tags(&self, tags: impl IntoIterator<Item = u64>) {
        for tag in tags {
            let at = self.sequence.increment();
            self.tags.raise(tag, at);
        }
    }

    /// Invalidates everything, in constant time. Only for a store that compares the start of each value with
    /// [`cleared`](Self::cleared) at each hit.
    pub(crate) fn clear(&self) {
        let at = self.sequence.increment();
        self.cleared.raise(at);
    }

    /// Invalidates everything in a store that cannot compare: takes out every flight, then `clear` empties the
    /// store.
    pub(crate) fn clear_with<R>(&self, clear: impl FnOnce() -> R) -> R {
        self.clear();
        // An insert that was checked before the clear ends before its stripe is passed, so before the store is
        // emptied; one that is checked after it sees the clear.
        for stripe in &self.stripes {
            let gone = stripe.with(|stripe| std::mem::take(&mut stripe.flights));
            drop(gone);
        }
        clear()
    }

    /// A transaction that will invalidate `key` is open.
    pub(crate) fn quarantine<Q>(&self, hash: u64, key: &Q, make: impl FnOnce() -> K)
    where
        Q: ?Sized + Equivalent<K>,
    {
        let gone = self.stripe(hash).with(|stripe| {
            match stripe.closed.find_mut(hash, |c| key.equivalent(&c.key)) {
                Some(closed) => closed.transactions += 1,
                None => {
                    let closed = Closed {
                        hash,
                        key: make(),
                        transactions: 1,
                    };
                    stripe.closed.insert_unique(hash, closed, |c| c.hash);
                }
            }
            stripe.take_all(hash, |f| key.equivalent(&f.key))
        });
        drop(gone);
    }

    /// One transaction on `key` less.
    pub(crate) fn release<Q>(&self, hash: u64, key: &Q)
    where
        Q: ?Sized + Equivalent<K>,
    {
        self.stripe(hash).with(|stripe| {
            if let Ok(mut entry) = stripe.closed.find_entry(hash, |c| key.equivalent(&c.key)) {
                entry.get_mut().transactions -= 1;
                if entry.get().transactions == 0 {
                    entry.remove();
                }
            }
        });
    }

    /// A transaction that will invalidate everything is open.
    pub(crate) fn quarantine_all(&self) {
        self.closed.increment();
        // Who begins after this sees that it is closed; who began before is below the bar.
        let at = self.sequence.increment();
        self.barred.raise(at);
    }

    /// One transaction on everything less.
    pub(crate) fn release_all(&self) {
        self.closed.decrement();
    }

    /// A transaction that will invalidate `tags` is open.
    pub(crate) fn quarantine_tags(&self, tags: impl IntoIterator<Item = u64>) {
        self.closed_tags.with(|closed| {
            for tag in tags {
                *closed.entry(tag).or_default() += 1;
            }
        });
    }

    /// One transaction on `tags` less.
    pub(crate) fn release_tags(&self, tags: impl IntoIterator<Item = u64>) {
        self.closed_tags.with(|closed| {
            for tag in tags {
                if let Some(transactions) = closed.get_mut(&tag) {
                    *transactions -= 1;
                    if *transactions == 0 {
                        closed.remove(&tag);
                    }
                }
            }
        });
    }

    /// How many flights are registered.
    pub(crate) fn in_flight(&self) -> usize {
        self.stripes
            .iter()
            .map(|stripe| stripe.with(|stripe| stripe.flights.len()))
            .sum()
    }

    // The store indexes by the low bits of its own hash; the middle ones are as good as any here.
    fn stripe(&self, hash: u64) -> &S::Lock<Stripe<K, P>> {
        &self.stripes[(hash >> 24) as usize & (self.stripes.len() - 1)]
    }
}

impl<K, P> Stripe<K, P> {
    fn take(&mut self, ticket: Ticket) -> Option<Flight<K, P>> {
        let found = self
            .flights
            .find_entry(ticket.hash, |flight| flight.id == ticket.id);
        found.ok().map(|entry| entry.remove().0)
    }

    // Taken out rather than dropped: what a payload does when it is dropped must not happen under the lock.
    fn take_all(
        &mut self,
        hash: u64,
        matches: impl Fn(&Flight<K, P>) -> bool,
    ) -> Vec<Flight<K, P>> {
        let mut gone = Vec::new();
        while let Ok(entry) = self.flights.find_entry(hash, &matches) {
            gone.push(entry.remove().0);
        }
        gone
    }
}
