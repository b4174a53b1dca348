//! A node's clock, which can leap as it does for a process that was stopped.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use invalidation_core::{Clock, Tick};
use parking_lot::Mutex;

/// Follows the monotonic clock of this process, and leaps ahead or stands when told.
#[derive(Debug)]
pub(crate) struct LeapingClock {
    base: Instant,
    ahead: AtomicU64,
    stands_at: Mutex<Option<Tick>>,
}

/// So that there is a past.
const START: u64 = 3_600_000_000_000;

impl LeapingClock {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            ahead: AtomicU64::new(START),
            stands_at: Mutex::new(None),
        }
    }

    /// It stands from here on, as one that does not count while its process is paused.
    pub(crate) fn stop(&self) {
        self.stands_at.lock().get_or_insert_with(|| self.follow());
    }

    /// It goes on from where it stood.
    pub(crate) fn go_on(&self) {
        let mut stands_at = self.stands_at.lock();
        if let Some(stood) = stands_at.take() {
            let missed = self.follow().since(stood).as_nanos() as u64;
            self.ahead.fetch_sub(missed, Ordering::SeqCst);
        }
    }

    fn follow(&self) -> Tick {
        let elapsed = self.base.elapsed().as_nanos() as u64;
        Tick::from_nanos(elapsed + self.ahead.load(Ordering::SeqCst))
    }

    /// One that stands leaps too, and stands there.
    pub(crate) fn leap(&self, by: Duration) {
        let by = by.as_nanos() as u64;
        let mut stands_at = self.stands_at.lock();
        if let Some(stood) = &mut *stands_at {
            *stood = Tick::from_nanos(stood.as_nanos() + by);
        }
        self.ahead.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for LeapingClock {
    fn now(&self) -> Tick {
        self.stands_at.lock().unwrap_or_else(|| self.follow())
    }
}
