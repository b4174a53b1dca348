//! Running a load: for all who wait, for oneself, or past the cache.

use std::{
    future::Future,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use equivalent::Equivalent;
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::{
    Inner, LoadError, Loaded,
    entry::{Entry, Life, TagIds},
    flight::{Follow, Followed, Lead, Outcome, Progress, flight},
    limiter::{Place, as_loader},
    stats::count,
};
use crate::{
    clock::{Tick, deadline},
    error::BoxError,
    fence::{Begun, Solo, Ticket},
};

/// A loaded value, and whether it was put into the store.
pub(super) struct Kept<V> {
    value: V,
    tags: TagIds,
    pub(super) kept: bool,
}

/// A registered load; dropping it takes it out.
pub(super) struct InFlight<'a, K: Send, V: Send + Sync> {
    inner: &'a Inner<K, V>,
    ticket: Option<Ticket>,
}

impl<'a, K: Send, V: Send + Sync> InFlight<'a, K, V> {
    pub(super) const fn new(inner: &'a Inner<K, V>, ticket: Option<Ticket>) -> Self {
        Self { inner, ticket }
    }
}

impl<K: Send, V: Send + Sync> Drop for InFlight<'_, K, V> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.inner.flights.abandon(ticket);
        }
    }
}

impl<K, V> Inner<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    /// Loads for all who join. `lead` outlives `flight`: who waits must find the flight gone when it wakes.
    pub(super) async fn lead<Q, F, Fut, T, E>(
        &self,
        key: &Q,
        hash: u64,
        lead: Lead<V>,
        ticket: Ticket,
        began: Tick,
        load: F,
    ) -> Result<V, LoadError>
    where
        Q: ?Sized + Hash + Sync + ToOwned<Owned = K> + Equivalent<K>,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Into<Loaded<V>> + Send,
        E: Into<BoxError> + Send,
    {
        count(&self.counters.misses);
        let mut flight = InFlight::new(self, Some(ticket));
        let mut start = ticket.start;
        let mut began = began;
        let place = match self.try_place() {
            Some(place) => Ok(place),
            None => {
                let place = self.place().await;
                // Its load begins only now: what was invalidated while it waited does not concern it.
                began = self.clock.now();
                let begun = self.flights.restart(
                    ticket,
                    key,
                    || self.refuses(hash, began),
                    || (key.to_owned(), Some(Follow::of(&lead, began))),
                );
                flight.ticket = match begun {
                    Begun::Flight(ticket) => {
                        start = ticket.start;
                        Some(ticket)
                    }
                    Begun::Solo(why) => {
                        self.not_kept(label(why));
                        None
                    }
                    Begun::Stored(()) | Begun::Joined(_) | Begun::Busy => None,
                };
                place
            }
        };
        let loaded = match place {
            Ok(_place) => {
                lead.send_replace(Progress::Until(deadline(self.load_timeout)));
                self.run(load).await
            }
            Err(error) => Err(self.failed(error)),
        };
        let (result, tags) = match loaded {
            Ok(loaded) => {
                let kept = self.keep(key, flight, began, loaded);
                (Ok(kept.value), kept.tags)
            }
            Err(error) => {
                drop(flight);
                (Err(error), TagIds::default())
            }
        };
        publish(&lead, &result, start, began, tags);
        result
    }

    /// Loads for the caller alone.
    pub(super) async fn solo<F, Fut, T, E>(&self, why: Solo, load: F) -> Result<V, LoadError>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Into<Loaded<V>> + Send,
        E: Into<BoxError> + Send,
    {
        count(&self.counters.misses);
        self.not_kept(label(why));
        Ok(self.run_in_place(load).await?.value)
    }

    /// Loads past the cache. Who waits shares the next load, never one that began before it came.
    pub(super) async fn bypass<Q, F, Fut, T, E>(
        &self,
        hash: u64,
        key: &Q,
        reason: &'static str,
        load: F,
    ) -> Result<V, LoadError>
    where
        Q: ?Sized + Hash + Sync + ToOwned<Owned = K> + Equivalent<K>,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Into<Loaded<V>> + Send,
        E: Into<BoxError> + Send,
    {
        count(&self.counters.misses);
        count(&self.counters.bypassed);
        let cache = self.name.to_string();
        metrics::counter!("cache_invalidation_bypassed_reads_total", "cache" => cache, "reason" => reason)
            .increment(1);
        let gate = self.bypass.enter(hash, key);
        let mut timed_out = false;
        loop {
            let (group, follow) = gate.gather(|| flight(self.clock.now(), self.deadline()));
            // A loader that hangs in its place holds nobody for longer than a load may take.
            let place = timeout(self.load_timeout, gate.places.acquire());
            let ended = tokio::select! {
                biased;
                place = place => match gate.depart(group) {
                    Some(lead) => {
                        let _place = place;
                        let began = self.clock.now();
                        lead.send_replace(Progress::Until(self.deadline()));
                        let result = self.run_in_place(load).await.map(|loaded| loaded.value);
                        publish(&lead, &result, 0, began, TagIds::default());
                        return result;
                    }
                    None => {
                        drop(place);
                        follow.end().await
                    }
                },
                ended = follow.clone().end() => ended,
            };
            match ended {
                Followed::Done(outcome) => return outcome.result.clone(),
                Followed::Abandoned => {}
                Followed::TimedOut if timed_out => return Err(self.failed(LoadError::TimedOut)),
                Followed::TimedOut => timed_out = true,
            }
        }
    }

    /// Puts a loaded value into the store, unless something speaks against it.
    pub(super) fn keep<Q>(
        &self,
        key: &Q,
        mut flight: InFlight<'_, K, V>,
        began: Tick,
        loaded: Loaded<V>,
    ) -> Kept<V>
    where
        Q: ?Sized + ToOwned<Owned = K>,
    {
        let tags = self.tag_ids(&loaded.tags);
        let (Some(ticket), true) = (flight.ticket, loaded.cached) else {
            return Kept {
                value: loaded.value,
                tags,
                kept: false,
            };
        };
        let mut kept = false;
        let expires = self.expiry.expires(began, &loaded.value, loaded.ttl);
        let life = Life::new(ticket.start, expires);
        let entry = Entry::new(loaded.value.clone(), life, tags.clone());
        let lags = |lag: &super::replica_lag::ReplicaLag| lag.covers_tags(&tags, began);
        let now = self.clock.now();
        if expires <= now {
            self.not_kept("outlived_ttl");
        } else if self.replica_lag.as_ref().is_some_and(lags) {
            self.not_kept("replica_lag");
        } else if let Some(weight) = self.weight(key, entry.value()) {
            flight.ticket = None;
            let alive = |entry: &Entry<V>| self.is_servable(entry, now);
            let insert = |key| self.store.insert(ticket.hash, key, entry, weight, alive);
            match self.flights.finish(ticket, &tags, insert) {
                Some(Ok(_evicted)) => kept = true,
                Some(Err(_too_heavy)) => self.not_kept("too_heavy"),
                None => self.not_kept("invalidated"),
            }
        } else {
            self.not_kept("weigher_panicked");
        }
        Kept {
            value: loaded.value,
            tags,
            kept,
        }
    }

    /// What an entry weighs, at least 1; `None` when the weigher panicked.
    fn weight<Q>(&self, key: &Q, value: &V) -> Option<u32>
    where
        Q: ?Sized + ToOwned<Owned = K>,
    {
        let Some(weigh) = &self.weigh else {
            return Some(1);
        };
        let weigh = AssertUnwindSafe(|| weigh(&key.to_owned(), value));
        // What weighs nothing would never make room.
        Some(catch_unwind(weigh).ok()?.max(1))
    }

    async fn run_in_place<F, Fut, T, E>(&self, load: F) -> Result<Loaded<V>, LoadError>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Into<Loaded<V>> + Send,
        E: Into<BoxError> + Send,
    {
        let place = match self.try_place() {
            Some(place) => Ok(place),
            None => self.place().await,
        };
        match place {
            Ok(_place) => self.run(load).await,
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn run<F, Fut, T, E>(&self, load: F) -> Result<Loaded<V>, LoadError>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Into<Loaded<V>> + Send,
        E: Into<BoxError> + Send,
    {
        count(&self.counters.loads);
        // Called inside, so that a closure that panics before its first await is caught too.
        let load = AssertUnwindSafe(async move { load().await }).catch_unwind();
        let error = match timeout(self.load_timeout, as_loader(load)).await {
            Ok(Ok(Ok(loaded))) => return Ok(loaded.into()),
            Ok(Ok(Err(error))) => LoadError::Loader(Arc::from(error.into())),
            Ok(Err(_)) => {
                count(&self.counters.panics);
                LoadError::Panicked
            }
            Err(_) => LoadError::TimedOut,
        };
        Err(self.failed(error))
    }

    fn try_place(&self) -> Option<Option<Place<'_>>> {
        match &self.limiter {
            None => Some(None),
            Some(limiter) => limiter.try_enter().map(Some),
        }
    }

    async fn place(&self) -> Result<Option<Place<'_>>, LoadError> {
        match &self.limiter {
            None => Ok(None),
            Some(limiter) => limiter.enter().await.map(Some),
        }
    }

    pub(super) fn new_flight(&self, began: Tick) -> (Lead<V>, Follow<V>) {
        flight(began, self.deadline())
    }

    /// When a load that may have to wait for its place has ended for sure.
    fn deadline(&self) -> Instant {
        let queue = self.limiter.as_ref().map(|limiter| limiter.patience);
        deadline(queue.unwrap_or_default().saturating_add(self.load_timeout))
    }

    pub(super) fn failed(&self, error: LoadError) -> LoadError {
        count(&self.counters.load_errors);
        let cache = self.name.to_string();
        metrics::counter!("cache_invalidation_failed_reads_total", "cache" => cache, "reason" => error.label())
            .increment(1);
        error
    }

    pub(super) fn not_kept(&self, reason: &'static str) {
        count(&self.counters.uncached);
        let cache = self.name.to_string();
        metrics::counter!("cache_invalidation_uncached_loads_total", "cache" => cache, "reason" => reason)
            .increment(1);
    }

    pub(super) fn served(&self, value: V) -> V {
        self.counters.hit();
        value
    }
}

pub(super) const fn label(why: Solo) -> &'static str {
    match why {
        Solo::Quarantined => "quarantine",
        Solo::Refused => "replica_lag",
    }
}

fn publish<V: Clone>(
    lead: &Lead<V>,
    result: &Result<V, LoadError>,
    start: u64,
    began: Tick,
    tags: TagIds,
) {
    if lead.receiver_count() > 0 {
        lead.send_replace(Progress::Done(Arc::new(Outcome {
            result: result.clone(),
            start,
            began,
            tags,
        })));
    }
}
