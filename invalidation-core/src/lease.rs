//! The freshness lease: how long since the log was last known to be fully applied (`P3`, `P4`).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    clock::{NodeClock, Tick, deadline},
    log::{LogCapabilities, ReadConsistency, ReadStart},
};

/// After this many failed reads in a row the log counts as down: readers no longer wait for it.
const DOWN_AFTER: u32 = 2;

/// The lease of one node, shared by its poller, which renews it, and its caches, which ask.
///
/// Order within a read: arrival, clock, lease (`Acquire`), lookup. The renewal (`Release`) comes after the
/// removals, so that who sees the renewed lease sees the removals too.
#[derive(Debug)]
pub(crate) struct LeaseState {
    clock: NodeClock,
    lag: u64,
    /// How long a reader waits for a log read: enough for the one in flight and the next one.
    patience: Duration,
    /// The tick of the last complete read, in nanoseconds; 0 is *never, or closed*.
    as_of: AtomicU64,
    /// The number of the last log read that was begun. It rises before the statement is sent.
    begun: AtomicU64,
    /// The number of the last complete log read that was applied.
    done: AtomicU64,
    /// The smallest read number that satisfies all who wait.
    wanted: AtomicU64,
    failures: AtomicU32,
    closed: AtomicBool,
    /// Guards renewing against closing; never held by a reader.
    renewing: Mutex<()>,
    changed: Notify,
    nudge: Notify,
}

/// What a log could prove was not fresh enough for a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stale {
    /// The log could not be read in time.
    #[error(
        "the invalidation log could not be read in time; cached values may be older than max_staleness"
    )]
    LogUnreadable,
    /// The node was closed or dropped.
    #[error("the node was shut down; its caches no longer receive invalidations")]
    Closed,
    /// The attached target has not yet applied what the log says.
    #[error("the attached target is behind: its apply did not return in time")]
    TargetBehind,
    /// The target is no longer attached.
    #[error("the target was detached; it no longer receives invalidations")]
    Detached,
}

/// What a lease must know of an attached target.
#[derive(Debug, Default)]
pub(crate) struct TargetState {
    behind: AtomicBool,
    detached: AtomicBool,
}

impl TargetState {
    /// Whether it lags: it was not told of everything, or did not answer in time.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    pub(crate) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Release);
    }

    /// For good: nothing is applied to it any more.
    pub(crate) fn detach(&self) {
        self.detached.store(true, Ordering::Release);
    }
}

impl LeaseState {
    /// A lease that nothing has renewed yet.
    pub(crate) fn new(clock: NodeClock, patience: Duration) -> Arc<Self> {
        let lag = u64::try_from(clock.lag().as_nanos()).unwrap_or(u64::MAX);
        Arc::new(Self {
            clock,
            lag,
            patience,
            as_of: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            renewing: Mutex::new(()),
            changed: Notify::new(),
            nudge: Notify::new(),
        })
    }

    /// Whether the last complete read is younger than `limit` at `now`. `u64::MAX` asks only whether the
    /// node is open and has started.
    ///
    /// Younger, not "no older": a read is complete for what was committed *before* its start, and `P3` also
    /// speaks of what was superseded *at* the bound. So a limit of zero is never met here, whatever the
    /// resolution of the clock, and a strict read always waits.
    #[inline]
    pub(crate) fn is_fresh(&self, now: Tick, limit: u64) -> bool {
        let as_of = self.as_of.load(Ordering::Acquire);
        as_of != 0
            && now
                .as_nanos()
                .saturating_sub(as_of)
                .saturating_add(self.lag)
                < limit
    }

    /// How long ago the last complete read began; `None` when there is none.
    pub(crate) fn age(&self) -> Option<Duration> {
        match self.as_of.load(Ordering::Acquire) {
            0 => None,
            as_of => Some(self.clock.now().since(Tick::from_nanos(as_of)) + self.clock.lag()),
        }
    }

    /// Waits until a complete read is applied that proves freshness for a read which arrives now: one that
    /// began no longer than `limit` before, or any that begins after this call. All who wait share it.
    /// Cancel-safe.
    pub(crate) async fn wait_fresh(&self, limit: Duration) -> Result<(), Stale> {
        let arrived = self.begun.load(Ordering::SeqCst);
        let arrival = self.clock.now();
        let deadline = deadline(self.patience);
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.closed.load(Ordering::SeqCst) {
                return Err(Stale::Closed);
            }
            if self.done.load(Ordering::Acquire) > arrived || self.is_fresh(arrival, limit) {
                return Ok(());
            }
            if self.failures.load(Ordering::Relaxed) >= DOWN_AFTER {
                return Err(Stale::LogUnreadable);
            }
            self.wanted.fetch_max(arrived + 1, Ordering::SeqCst);
            self.nudge.notify_one();
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Stale::LogUnreadable);
            }
        }
    }

    /// Takes the number and start of a log read, before its statement is sent.
    pub(crate) fn begin_read(&self) -> ReadStart {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        ReadStart::new(self.clock.now(), number)
    }

    /// Everything committed before `start` has been applied to every target.
    pub(crate) fn renew(&self, start: ReadStart) {
        let _guard = self.renewing.lock();
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        self.done.fetch_max(start.number(), Ordering::Release);
        // 0 means never; a clock that stands at its very start counts as one nanosecond later.
        self.as_of
            .fetch_max(start.tick().as_nanos().max(1), Ordering::Release);
        self.changed.notify_waiters();
    }

    /// A log read failed. Never renews.
    pub(crate) fn read_failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// Whether so many reads failed in a row that nobody waits for the log.
    pub(crate) fn is_down(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= DOWN_AFTER
    }

    /// Whether somebody waits for a read that has not begun yet. Whom a read that has begun did not satisfy asks
    /// again when it ends.
    pub(crate) fn wants_read(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > self.begun.load(Ordering::SeqCst)
    }

    /// Asks the poller to read the log now.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Waits for somebody to ask for a read.
    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Ends the lease for good: every cache goes into bypass.
    pub(crate) fn close(&self) {
        let _guard = self.renewing.lock();
        self.closed.store(true, Ordering::SeqCst);
        self.as_of.store(0, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// Why this log cannot back a lease of `max_staleness`, and what to do; `None` when it can.
pub(crate) fn cannot_back(
    log: Option<&LogCapabilities>,
    max_staleness: Duration,
) -> Option<String> {
    match log {
        None => Some(format!(
            "it has a max_staleness of {max_staleness:?}, but the node has no log: give the node one, or drop max_staleness"
        )),
        Some(log) if log.reads == ReadConsistency::MayBeStale => Some(format!(
            "it has a max_staleness of {max_staleness:?}, but reads of the {} log may be stale: read the log from its primary, or drop max_staleness",
            log.name
        )),
        Some(_) => None,
    }
}

/// The right to serve cached values that are at most so stale: public, so that any loader cache can have
/// `P3`.
#[derive(Clone)]
pub struct Lease {
    state: Arc<LeaseState>,
    limit: Duration,
    target: Arc<TargetState>,
}

impl Lease {
    /// A lease of `limit` on `state`, for this target.
    pub(crate) const fn new(
        state: Arc<LeaseState>,
        limit: Duration,
        target: Arc<TargetState>,
    ) -> Self {
        Self {
            state,
            limit,
            target,
        }
    }

    /// Whether a value found in the cache *after* this call may be served: synchronous, about 5 ns. Look up
    /// after checking, never before.
    ///
    /// # Errors
    /// When the last complete log read began longer ago than the limit: wait, load, or fail.
    pub fn check(&self) -> Result<(), Stale> {
        let limit = u64::try_from(self.limit.as_nanos()).unwrap_or(u64::MAX);
        if self.state.is_fresh(self.state.clock.now(), limit) {
            // Only now: a target that did not apply is marked before the lease is renewed, so who sees the
            // renewal must look for the mark after it (`P3`).
            self.is_applied()
        } else if self.state.closed.load(Ordering::SeqCst) {
            Err(Stale::Closed)
        } else {
            Err(Stale::LogUnreadable)
        }
    }

    /// Like [`check`](Self::check), but waits for the next log read where that helps. All who wait share
    /// one read. Cancel-safe.
    ///
    /// # Errors
    /// When the log could not be read in time, or the node was closed.
    pub async fn wait(&self) -> Result<(), Stale> {
        if self.check().is_ok() {
            return Ok(());
        }
        self.state.wait_fresh(self.limit).await?;
        self.is_applied()
    }

    fn is_applied(&self) -> Result<(), Stale> {
        if self.target.detached.load(Ordering::Acquire) {
            return Err(Stale::Detached);
        }
        if self.target.is_behind() {
            return Err(Stale::TargetBehind);
        }
        Ok(())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("limit", &self.limit)
            .field("age", &self.state.age())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::clock::Clock;

    /// Runs something when it is asked for the time.
    #[derive(Default)]
    struct Meddling(OnceLock<Box<dyn Fn() + Send + Sync>>);

    impl fmt::Debug for Meddling {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Meddling")
        }
    }

    impl Clock for Meddling {
        fn now(&self) -> Tick {
            if let Some(meddle) = self.0.get() {
                meddle();
            }
            Tick::from_nanos(1_000)
        }
    }

    /// P3: a target that falls behind while its lease is checked is not taken for one that applied what the
    /// renewal says.
    #[test]
    fn p3_a_renewal_is_not_seen_without_the_mark_of_a_target_that_is_behind() {
        let clock = Arc::new(Meddling::default());
        let state = LeaseState::new(NodeClock::Custom(clock.clone()), Duration::ZERO);
        let target = Arc::new(TargetState::default());
        let lease = Lease::new(state.clone(), Duration::from_secs(1), target.clone());
        // As the poller does: hand over, give up, renew.
        let poll = move || {
            target.set_behind(true);
            state.renew(ReadStart::new(Tick::from_nanos(1_000), 1));
        };
        assert!(clock.0.set(Box::new(poll)).is_ok());
        assert_eq!(lease.check(), Err(Stale::TargetBehind));
    }
}
