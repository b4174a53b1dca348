//! What those who share a load know of it.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{LoadError, entry::TagIds};
use crate::clock::Tick;

/// How far a load has come.
pub(super) enum Progress<V> {
    /// It runs, or waits for its place to run, until then at most.
    Until(Instant),
    /// It ended.
    Done(Arc<Outcome<V>>),
}

/// How a load ended.
pub(super) struct Outcome<V> {
    pub(super) result: Result<V, LoadError>,
    /// The sequence at its start.
    pub(super) start: u64,
    pub(super) began: Tick,
    pub(super) tags: TagIds,
}

/// The leader's end. Dropping it unfinished lets those who wait take over.
pub(super) type Lead<V> = watch::Sender<Progress<V>>;

/// A caller's end.
pub(super) struct Follow<V> {
    progress: watch::Receiver<Progress<V>>,
    /// When the flight was registered.
    registered: Tick,
}

impl<V> Clone for Follow<V> {
    fn clone(&self) -> Self {
        Self {
            progress: self.progress.clone(),
            registered: self.registered,
        }
    }
}

/// What waiting came to.
pub(super) enum Followed<V> {
    Done(Arc<Outcome<V>>),
    /// The leader is gone: cancelled, or timed out.
    Abandoned,
    /// The leader takes too long, or is not polled.
    TimedOut,
}

impl<V> Followed<V> {
    // The leader's time-out is the leader's: who waited may try with its own closure.
    fn of(outcome: &Arc<Outcome<V>>) -> Self {
        match outcome.result {
            Err(LoadError::TimedOut) => Self::TimedOut,
            _ => Self::Done(Arc::clone(outcome)),
        }
    }
}

/// A load that will have ended at `deadline`.
pub(super) fn flight<V>(registered: Tick, deadline: Instant) -> (Lead<V>, Follow<V>) {
    let (lead, progress) = watch::channel(Progress::Until(deadline));
    let follow = Follow {
        progress,
        registered,
    };
    (lead, follow)
}

impl<V> Follow<V> {
    /// One more who follows `lead`.
    pub(super) fn of(lead: &Lead<V>, registered: Tick) -> Self {
        Self {
            progress: lead.subscribe(),
            registered,
        }
    }

    /// Whether a caller may still join: its leader is there and in time, and its load is not older than `ttl`.
    pub(super) fn is_joinable(&self, now: Tick, ttl: std::time::Duration) -> bool {
        if now.since(self.registered) >= ttl || self.progress.has_changed().is_err() {
            return false;
        }
        match &*self.progress.borrow() {
            Progress::Until(deadline) => Instant::now() < *deadline,
            Progress::Done(_) => true,
        }
    }

    /// Waits for the end. Cancel-safe.
    pub(super) async fn end(mut self) -> Followed<V> {
        loop {
            let deadline = match &*self.progress.borrow_and_update() {
                Progress::Done(outcome) => return Followed::of(outcome),
                Progress::Until(deadline) => *deadline,
            };
            match timeout_at(deadline, self.progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    return match &*self.progress.borrow() {
                        Progress::Done(outcome) => Followed::of(outcome),
                        Progress::Until(_) => Followed::Abandoned,
                    };
                }
                Err(_) => return Followed::TimedOut,
            }
        }
    }
}
