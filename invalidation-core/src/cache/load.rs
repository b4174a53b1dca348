//! The slow path: waiting for the log, joining, loading.

use std::{future::Future, hash::Hash};

use equivalent::Equivalent;

use super::{
    Inner, LoadError, Loaded, OnStale,
    flight::{Followed, Outcome},
    stats::count,
};
use crate::{
    clock::Tick,
    error::BoxError,
    fence::{Begun, Consider},
    lease::Stale,
};

/// What the lease allows a read to do.
#[derive(Debug, Clone, Copy)]
enum View {
    /// To serve and to join. The number is the sequence *after* that was proved: a load which began at or
    /// after it saw all that the proof covers.
    Fresh(u64),
    /// Neither, before a log read has ended; a miss may load at once.
    Stale,
    /// Nothing that was or will be kept: the node has not started, or is closed (`P14`).
    Shut,
}

/// What a read does after it waited for the log.
enum Way {
    Fresh(u64),
    Bypass(&'static str),
    Serve(&'static str),
}

/// Whether a caller may have what another one loaded.
enum Share {
    Take,
    /// A tag was invalidated meanwhile: a load that begins now will do.
    Again,
    /// What others load may not be shared at all for now.
    Alone,
}

/// What the store has, seen from under the lock.
enum Stored<V> {
    Hit(V),
    Unproved,
}

impl<K, V> Inner<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    /// Gets `key`, or loads it, when the hit path could not.
    pub(super) async fn load<Q, F, Fut, T, E>(&self, key: &Q, load: F) -> Result<V, LoadError>
    where
        Q: ?Sized + Hash + Sync + ToOwned<Owned = K> + Equivalent<K>,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Into<Loaded<V>> + Send,
        E: Into<BoxError> + Send,
    {
        let hash = self.hash(key);
        let mut proved = match self.view() {
            View::Fresh(proved) => Some(proved),
            // Nobody waits for a log that is known to be down, and at most two load past it.
            View::Stale if self.on_stale == OnStale::Bypass && self.lease.is_down() => {
                return self.bypass(hash, key, "log_unreadable", load).await;
            }
            View::Stale => None,
            View::Shut => match self.way().await? {
                Way::Fresh(proved) => Some(proved),
                Way::Bypass(reason) => return self.bypass(hash, key, reason, load).await,
                Way::Serve(reason) => match self.lookup(key, self.clock.now()) {
                    Some(value) => return Ok(self.served(value)),
                    None => return self.bypass(hash, key, reason, load).await,
                },
            },
        };
        let mut timed_out = false;
        let mut alone = false;
        loop {
            let began = self.clock.now();
            let mut lead = None;
            let begun = self.flights.begin(
                hash,
                key,
                || {
                    let value = self.lookup(key, began)?;
                    Some(match proved {
                        Some(_) => Stored::Hit(value),
                        None => Stored::Unproved,
                    })
                },
                |flight| match flight {
                    Some(flight) if !alone && flight.is_joinable(began, self.expiry.longest()) => {
                        match proved {
                            Some(_) => Consider::Join,
                            None => Consider::Busy,
                        }
                    }
                    _ => Consider::Skip,
                },
                || self.refuses(hash, began),
                || {
                    let (leader, follow) = self.new_flight(began);
                    lead = Some(leader);
                    (key.to_owned(), Some(follow))
                },
            );
            match (begun, lead) {
                (Begun::Stored(Stored::Hit(value)), _) => return Ok(self.served(value)),
                (Begun::Flight(ticket), Some(lead)) => {
                    return self.lead(key, hash, lead, ticket, began, load).await;
                }
                (Begun::Solo(why), _) => return self.solo(why, load).await,
                (Begun::Joined(Some(follow)), _) => {
                    count(&self.counters.joins);
                    match follow.end().await {
                        Followed::Done(outcome) => match self.share(&outcome, proved) {
                            Share::Take => return outcome.result.clone(),
                            Share::Again => {}
                            Share::Alone => alone = true,
                        },
                        // Cancelled: one of those who waited takes over, with its own closure.
                        Followed::Abandoned => {}
                        // So that who waits is kept no longer than twice the time, whatever hangs.
                        Followed::TimedOut if timed_out => {
                            return Err(self.failed(LoadError::TimedOut));
                        }
                        Followed::TimedOut => timed_out = true,
                    }
                }
                // Cached or in flight, and not known to be fresh enough.
                _ => match self.way().await? {
                    Way::Fresh(at) => proved = Some(at),
                    Way::Bypass(reason) => return self.bypass(hash, key, reason, load).await,
                    Way::Serve(_) => proved = Some(self.flights.sequence()),
                },
            }
        }
    }

    /// Gets `key` without loading it, when the hit path could not tell.
    pub(super) async fn get_after_wait<Q>(&self, key: &Q) -> Result<Option<V>, LoadError>
    where
        Q: ?Sized + Hash + Sync + Equivalent<K>,
    {
        let way = self.way().await?;
        let found = match way {
            Way::Bypass(_) => None,
            Way::Fresh(_) | Way::Serve(_) => self.lookup(key, self.clock.now()),
        };
        match &found {
            Some(_) => self.counters.hit(),
            None => count(&self.counters.misses),
        }
        Ok(found)
    }

    fn view(&self) -> View {
        let now = self.clock.now();
        if self.lease.is_fresh(now, self.limit) {
            View::Fresh(self.flights.sequence())
        } else if self.is_started(now) {
            View::Stale
        } else {
            View::Shut
        }
    }

    pub(super) fn is_started(&self, now: Tick) -> bool {
        self.lease.is_fresh(now, u64::MAX)
    }

    /// Waits for the log, if there is a bound to prove.
    async fn way(&self) -> Result<Way, LoadError> {
        let reason = match self.max_staleness {
            None => "shut",
            Some(limit) => {
                count(&self.counters.waits);
                match self.lease.wait_fresh(limit).await {
                    Ok(()) => return Ok(Way::Fresh(self.flights.sequence())),
                    Err(Stale::Closed) => "shut",
                    Err(_) => "log_unreadable",
                }
            }
        };
        match self.on_stale {
            OnStale::Bypass => Ok(Way::Bypass(reason)),
            // What a node that ended, or has no cursor yet, holds is bounded by nothing.
            OnStale::Serve if !self.is_started(self.clock.now()) => Ok(Way::Bypass(reason)),
            OnStale::Serve => Ok(Way::Serve(reason)),
            OnStale::Fail => Err(self.failed(LoadError::Stale)),
        }
    }

    /// Whether what begins at `began` may miss an invalidation, since its loader reads a replica.
    pub(super) fn refuses(&self, hash: u64, began: Tick) -> bool {
        self.replica_lag
            .as_ref()
            .is_some_and(|lag| lag.covers_key(hash, began))
    }

    /// Whether a caller may have what another one loaded.
    fn share(&self, outcome: &Outcome<V>, proved: Option<u64>) -> Share {
        let tags = &*outcome.tags;
        if outcome.result.is_err() || tags.is_empty() {
            return Share::Take;
        }
        let lags = |lag: &super::replica_lag::ReplicaLag| lag.covers_tags(tags, outcome.began);
        if self.flights.tags_quarantined(tags) || self.replica_lag.as_ref().is_some_and(lags) {
            Share::Alone
        } else if self.flights.tags_hold(tags, outcome.start)
            // Its load began after all that this caller must see (`P7`).
            || proved.is_some_and(|proved| proved <= outcome.start)
        {
            Share::Take
        } else {
            Share::Again
        }
    }
}
