//! The sync types that the fence is made of, as parameters, so that `loom` can put its own in their place.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A family of sync types.
pub(crate) trait SyncTypes: Send + Sync + 'static {
    /// An atomic number.
    type Counter: Counter;
    /// A mutual exclusion lock.
    type Lock<T: Send>: Lock<T>;
}

/// An atomic number. Reads acquire, writes release.
pub(crate) trait Counter: Send + Sync {
    fn new(value: u64) -> Self;
    fn get(&self) -> u64;
    /// Adds one; the new value.
    fn increment(&self) -> u64;
    /// Takes one off, if it is above zero.
    fn decrement(&self);
    /// Makes it at least `to`.
    fn raise(&self, to: u64);
}

/// A lock. Taking a closure instead of giving a guard keeps what it guards short, and never across an
/// `.await`.
pub(crate) trait Lock<T>: Send + Sync {
    fn new(value: T) -> Self;
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

/// The types of the standard library and `parking_lot`.
#[derive(Debug)]
pub(crate) struct StdSync;

impl SyncTypes for StdSync {
    type Counter = AtomicU64;
    type Lock<T: Send> = Mutex<T>;
}

impl Counter for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    #[inline]
    fn get(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn increment(&self) -> u64 {
        self.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn decrement(&self) {
        // A release without its quarantine must not close the cache for ever.
        let less = |count: u64| Some(count.saturating_sub(1));
        let _ = self.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    fn raise(&self, to: u64) {
        self.fetch_max(to, Ordering::AcqRel);
    }
}

impl<T: Send> Lock<T> for Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}
