//! What waits to be published over one transport: bounded, and widening when full (`P11`).

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::receipt::LaneReport;
use crate::{
    frame::{Carried, Standing},
    observe,
    words::{CacheName, Entry, Invalidation},
};

/// The queue between those who invalidate and the lane that publishes.
#[derive(Debug)]
pub(super) struct Outbox {
    capacity: usize,
    /// Guards the queue; held for moments, never across an `.await`.
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// Nobody publishes any more.
    closed: bool,
}

/// What is published together, and who wants to hear of it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) carried: Vec<Carried>,
    pub(super) want_ack: bool,
    pub(super) reports: Vec<oneshot::Sender<LaneReport>>,
    items: usize,
    /// When to look again for reports that nobody awaits any more.
    prune_at: usize,
}

/// Fewer reports than this are not worth looking through.
const FEW_REPORTS: usize = 64;

impl Outbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            waiting: Mutex::default(),
            filled: Notify::new(),
        }
    }

    /// Adds to the queue; never waits (`P16`). The receiver hears what became of it, or that nobody publishes
    /// any more.
    pub(super) fn push(
        &self,
        carried: &[Carried],
        want_ack: bool,
    ) -> oneshot::Receiver<LaneReport> {
        let (report, heard) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                observe::dropped("publisher_ended");
                return heard; // Its sender is gone: whoever waits hears so at once.
            }
            let waiting = &mut waiting.batch;
            waiting.items += carried
                .iter()
                .map(|one| size(&one.entry.invalidation))
                .sum::<usize>();
            waiting.carried.extend_from_slice(carried);
            waiting.want_ack |= want_ack;
            waiting.want_report(report);
            if waiting.items > self.capacity {
                waiting.widen(self.capacity);
            }
        }
        self.filled.notify_one();
        heard
    }

    /// Takes all that waits; `None` when nothing does.
    pub(super) fn take(&self) -> Option<Batch> {
        let batch = std::mem::take(&mut self.waiting.lock().batch);
        (!batch.carried.is_empty()).then_some(batch)
    }

    /// Nobody takes from it any more: what waits is dropped, and what is pushed later is dropped at once.
    pub(super) fn close(&self) {
        let left = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.batch)
        };
        if !left.carried.is_empty() {
            observe::dropped("publisher_ended");
        }
    }

    /// Waits until something was pushed. Cancel-safe.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

impl Batch {
    /// Drops what nobody awaits each time the list has doubled, so that a push costs the same however many
    /// wait.
    fn want_report(&mut self, report: oneshot::Sender<LaneReport>) {
        if self.reports.len() >= self.prune_at.max(FEW_REPORTS) {
            self.reports.retain(|report| !report.is_closed());
            self.prune_at = 2 * self.reports.len();
        }
        self.reports.push(report);
    }

    /// Keys and tags become their caches, and if that is still too much, everything.
    fn widen(&mut self, capacity: usize) {
        let mut caches: Vec<CacheName> = Vec::new();
        let mut everything = false;
        for Carried { entry, .. } in &self.carried {
            match &entry.invalidation {
                Invalidation::Everything => everything = true,
                Invalidation::Cache { cache, .. } => caches.push(cache.clone()),
            }
        }
        caches.sort_unstable();
        caches.dedup();
        // Proven only if all of it was: one claim makes a claim of the whole.
        let standing = self
            .carried
            .iter()
            .map(|one| &one.standing)
            .find(|standing| matches!(standing, Standing::Claimed))
            .or_else(|| self.carried.first().map(|one| &one.standing))
            .cloned()
            .unwrap_or(Standing::Claimed);
        let carry = |invalidation| Carried {
            entry: Entry::new(invalidation),
            standing: standing.clone(),
        };
        self.carried = if everything || caches.len() > capacity {
            observe::widened("outbox_to_everything");
            vec![carry(Invalidation::Everything)]
        } else {
            observe::widened("outbox_to_cache");
            let whole = |cache| Invalidation::Cache {
                cache,
                scope: crate::words::Scope::All,
            };
            caches
                .into_iter()
                .map(|cache| carry(whole(cache)))
                .collect()
        };
        self.items = self.carried.len();
    }
}

fn size(invalidation: &Invalidation) -> usize {
    match invalidation {
        Invalidation::Everything => 1,
        Invalidation::Cache { scope, .. } => scope.len().max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Scope;

    fn keys(cache: &str, count: usize) -> Carried {
        let keys: Vec<String> = (0..count).map(|key| key.to_string()).collect();
        let cache = CacheName::new(cache).expect("a good name");
        let invalidation = Invalidation::Cache {
            cache,
            scope: Scope::keys(keys),
        };
        Carried {
            entry: Entry::new(invalidation),
            standing: Standing::Proven(None),
        }
    }

    fn scopes(outbox: &Outbox) -> Vec<Invalidation> {
        let batch = outbox.take().expect("something waits");
        batch
            .carried
            .into_iter()
            .map(|one| one.entry.invalidation)
            .collect()
    }

    /// P11: a full queue widens keys to their caches and drops nothing.
    #[test]
    fn p11_overflow_widens_to_the_caches() {
        let outbox = Outbox::new(10);
        drop(outbox.push(&[keys("a", 6)], false));
        drop(outbox.push(&[keys("b", 4)], false));
        assert_eq!(outbox.waiting.lock().batch.carried.len(), 2);
        drop(outbox.push(&[keys("a", 1)], false));
        let whole = |name| Invalidation::Cache {
            cache: CacheName::new(name).expect("a good name"),
            scope: Scope::All,
        };
        assert_eq!(scopes(&outbox), [whole("a"), whole("b")]);
        assert!(outbox.take().is_none());
    }

    /// P11: more caches than the queue holds widen to everything.
    #[test]
    fn p11_overflow_of_caches_widens_to_everything() {
        let outbox = Outbox::new(3);
        for cache in ["a", "b", "c", "d"] {
            drop(outbox.push(&[keys(cache, 1)], false));
        }
        assert_eq!(scopes(&outbox), [Invalidation::Everything]);
    }

    /// P8: widening never turns a claim into a proof.
    #[test]
    fn p8_a_widened_claim_stays_a_claim() {
        let outbox = Outbox::new(1);
        let claimed = Carried {
            standing: Standing::Claimed,
            ..keys("a", 1)
        };
        drop(outbox.push(&[keys("a", 1), claimed], false));
        let batch = outbox.take().expect("something waits");
        assert!(
            batch
                .carried
                .iter()
                .all(|one| one.standing == Standing::Claimed)
        );
    }

    /// P16: reports that nobody awaits do not pile up.
    #[test]
    fn p16_dropped_receipts_take_no_room() {
        let outbox = Outbox::new(1_000);
        for _ in 0..10 * FEW_REPORTS {
            drop(outbox.push(&[keys("a", 1)], false));
        }
        assert!(outbox.waiting.lock().batch.reports.len() <= FEW_REPORTS);
    }
}
