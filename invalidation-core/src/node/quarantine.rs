//! Where the open transactions keep loads from being kept.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::registry::Held;
use crate::words::{CacheName, Entry, Invalidation, Scope};

/// The transactions that are open.
#[derive(Default)]
pub(super) struct OpenTransactions(Mutex<Vec<Weak<Quarantine>>>);

/// What one open transaction quarantined, and where. Only that is released: a target that never saw the
/// quarantine would count one transaction too few from then on.
pub(super) struct Quarantine {
    invalidations: Vec<Invalidation>,
    /// By the index of the invalidation. `None` once it is over.
    closed: Mutex<Option<Vec<(usize, Held, Scope)>>>,
}

impl OpenTransactions {
    /// Makes a transaction known, before its targets are looked up: a target that is registered meanwhile is
    /// found by the one or by the other, or by both.
    pub(super) fn open(&self, entries: &[Entry]) -> Arc<Quarantine> {
        let invalidations = entries.iter().map(|entry| entry.invalidation.clone());
        let quarantine = Arc::new(Quarantine {
            invalidations: invalidations.collect(),
            closed: Mutex::new(Some(Vec::new())),
        });
        let mut open = self.0.lock();
        open.retain(|open| open.strong_count() > 0);
        open.push(Arc::downgrade(&quarantine));
        quarantine
    }

    /// Quarantines a target that was registered just now.
    pub(super) fn extend_to(&self, name: &CacheName, target: &Held) {
        let open: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        for quarantine in open {
            quarantine.extend_to(name, target);
        }
    }
}

impl Quarantine {
    /// Quarantines what it covers of `target`, unless it did or is over.
    pub(super) fn extend_to(&self, name: &CacheName, target: &Held) {
        let mut closed = self.closed.lock();
        let (Some(closed), Some(alive)) = (&mut *closed, target.alive()) else {
            return;
        };
        for (index, invalidation) in self.invalidations.iter().enumerate() {
            let scope = match invalidation {
                Invalidation::Everything => Scope::All,
                Invalidation::Cache { cache, scope } if cache == name => scope.clone(),
                Invalidation::Cache { .. } => continue,
            };
            let known = |(of, held, _): &(usize, Held, Scope)| *of == index && held.is(target);
            if !closed.iter().any(known) {
                alive.quarantine(&scope);
                closed.push((index, target.clone(), scope));
            }
        }
    }

    /// The transaction has ended, and what it invalidates was applied.
    pub(super) fn release(&self) {
        for (_, held, scope) in self.closed.lock().take().into_iter().flatten() {
            if let Some(target) = held.alive() {
                target.release(&scope);
            }
        }
    }
}

impl Drop for Quarantine {
    /// For one that a panicking target kept from becoming part of a transaction.
    fn drop(&mut self) {
        self.release();
    }
}
