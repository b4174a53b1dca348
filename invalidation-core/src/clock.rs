//! Points on the node's own clock. No rule compares the clocks of two machines (`P17`).

use std::{fmt, ops::Add, sync::Arc, time::Duration};

use tokio::time::Instant;

/// A point on one node's clock: nanoseconds since an arbitrary start. Ticks of two processes have nothing
/// in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tick(u64);

impl Tick {
    /// The point `nanos` nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long from `earlier` to this; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point, moved back by `duration`; the clock's start when that is before it.
    #[must_use]
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

/// When `patience` that begins now will be over. One that no clock can count lasts for thirty years.
pub(crate) fn deadline(patience: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    Instant::now() + patience.min(FOR_EVER)
}

/// Where ticks come from. Injectable, so that a test can step time.
///
/// # Contract
/// [`now`](Clock::now) never goes back, and goes on while the process is stopped: a count kept by a task
/// would make a paused node believe its lease (`P3`). It may lag behind true time by up to
/// [`lag`](Clock::lag), which every age that is compared with a bound carries as a margin.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present point.
    fn now(&self) -> Tick;

    /// The most by which [`now`](Clock::now) may lag behind.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// The clocks of this crate. The hot path matches on it, which is cheaper than a call through a table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeClock {
    /// The default: on Linux `CLOCK_MONOTONIC_COARSE` (about 3 ns a call; it lags by up to one kernel tick,
    /// 10 ms at `CONFIG_HZ=100`), elsewhere [`std::time::Instant`].
    Coarse,
    /// On Linux `CLOCK_BOOTTIME` (about 20 ns a call), which also counts the time a machine is suspended;
    /// elsewhere [`std::time::Instant`].
    Boottime,
    /// Any other.
    Custom(Arc<dyn Clock>),
}

/// A kernel tick at the lowest usual `CONFIG_HZ` (100) and some slack.
const COARSE_LAG: Duration = Duration::from_millis(12);

impl NodeClock {
    /// The present point.
    #[inline(always)]
    pub fn now(&self) -> Tick {
        match self {
            Self::Coarse => system::coarse(),
            Self::Boottime => system::boottime(),
            Self::Custom(clock) => clock.now(),
        }
    }

    /// The most by which [`now`](Self::now) may lag behind.
    pub fn lag(&self) -> Duration {
        match self {
            Self::Coarse if cfg!(target_os = "linux") => COARSE_LAG,
            Self::Coarse | Self::Boottime => Duration::ZERO,
            Self::Custom(clock) => clock.lag(),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    use super::Tick;

    #[inline(always)]
    fn tick(time: Timespec) -> Tick {
        Tick::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    #[inline(always)]
    pub(super) fn coarse() -> Tick {
        tick(clock_gettime(ClockId::MonotonicCoarse))
    }

    #[inline]
    pub(super) fn boottime() -> Tick {
        tick(clock_gettime(ClockId::Boottime))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{sync::LazyLock, time::Instant};

    use super::Tick;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(super) fn coarse() -> Tick {
        Tick::from_nanos(START.elapsed().as_nanos() as u64 + 1)
    }

    pub(super) fn boottime() -> Tick {
        coarse()
    }
}

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct ManualClock(std::sync::atomic::AtomicU64);

impl ManualClock {
    /// A clock that stands at one hour, so that a test can look back.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(3_600_000_000_000.into()))
    }

    /// Moves it on by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.0
            .fetch_add(nanos(duration), std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Tick {
        Tick(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}
