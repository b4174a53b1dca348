//! When to try a peer again: jittered exponential back-off.

use std::time::Duration;

use metrics::counter;
use rand::RngExt as _;

/// The circuit breaker of one peer, owned by its task. While it is open, frames fail at once.
#[derive(Debug)]
pub(crate) struct Breaker {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Breaker {
    /// Closed. Waits about `first` after a failure, twice that after the next, at most `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// Opens, or stays open: how long to wait before the next attempt.
    pub(crate) fn failed(&mut self) -> Duration {
        if self.failures == 0 {
            counter!("cache_invalidation_http_breaker_changes_total", "state" => "open")
                .increment(1);
        }
        let full = self
            .first
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        // Half of it is random, so that the nodes of a cluster do not come back all at once.
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Closes.
    pub(crate) fn succeeded(&mut self) {
        if self.failures > 0 {
            counter!("cache_invalidation_http_breaker_changes_total", "state" => "closed")
                .increment(1);
        }
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `P20`: the wait grows, stays under its cap for ever, and starts anew after a success.
    #[test]
    fn the_wait_grows_up_to_its_cap() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut breaker = Breaker::new(first, longest);
        for failures in 0..100 {
            let wait = breaker.failed();
            assert!(wait <= longest);
            assert!(wait >= first.saturating_mul(1 << failures.min(6)).min(longest) / 2);
        }
        breaker.succeeded();
        assert!(breaker.failed() <= first);
    }
}
