//! A node's clock, which can leap as it does for a process that was stopped.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use invalidation_core::{Clock, Tick};

/// Follows the monotonic clock of this process, and leaps ahead when told.
#[derive(Debug)]
pub(crate) struct LeapingClock {
    base: Instant,
    ahead: AtomicU64,
}

/// So that there is a past.
const START: u64 = 3_600_000_000_000;

impl LeapingClock {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            ahead: AtomicU64::new(START),
        }
    }

    pub(crate) fn leap(&self, by: Duration) {
        self.ahead.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for LeapingClock {
    fn now(&self) -> Tick {
        let elapsed = self.base.elapsed().as_nanos() as u64;
        Tick::from_nanos(elapsed + self.ahead.load(Ordering::SeqCst))
    }
}
