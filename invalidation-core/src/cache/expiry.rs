//! How long a value is served.

use std::time::Duration;

use crate::clock::Tick;

/// The TTLs of one cache. Every TTL counts from the start of the load, and is never extended (`P3`).
#[derive(Debug, Clone)]
pub(super) struct Expiry<V> {
    pub(super) ttl: Duration,
    pub(super) cap: Option<Duration>,
    /// Which part of a TTL may be taken off by chance, so that entries do not expire together.
    pub(super) jitter: f64,
    pub(super) negative: Option<Negative<V>>,
    /// The clock's lag, by which an age may be underestimated.
    pub(super) margin: Duration,
}

/// Which values are negative, and how long they are served.
#[derive(Debug, Clone)]
pub(super) struct Negative<V> {
    pub(super) is: fn(&V) -> bool,
    pub(super) ttl: Duration,
}

impl<V> Expiry<V> {
    /// The tick from which a value is not served whose load began at `began`.
    pub(super) fn expires(&self, began: Tick, value: &V, own: Option<Duration>) -> Tick {
        let ttl = own.unwrap_or_else(|| match &self.negative {
            Some(negative) if (negative.is)(value) => negative.ttl,
            _ => self.ttl,
        });
        began + self.jittered(self.capped(ttl)).saturating_sub(self.margin)
    }

    /// The age from which a load is not joined.
    pub(super) fn longest(&self) -> Duration {
        self.capped(self.ttl)
    }

    fn capped(&self, ttl: Duration) -> Duration {
        self.cap.map_or(ttl, |cap| ttl.min(cap))
    }

    // Downwards only: the TTL is a bound (`P3`).
    fn jittered(&self, ttl: Duration) -> Duration {
        if self.jitter > 0.0 {
            ttl.saturating_sub(ttl.mul_f64(self.jitter * rand::random::<f64>()))
        } else {
            ttl
        }
    }
}
