//! The checker's clock: `CLOCK_MONOTONIC`, which all processes of one machine share.
//!
//! Only the checker uses it. The framework itself never compares the clocks of two processes (`P17`).

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Never negative: it counts from the machine's start.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
