//! What waits to be published: bounded, and widening when full.

use std::sync::Arc;

use invalidation_conformance::CLUSTER;
use invalidation_core::{
    BoxError, ClusterName, Entry, Invalidation, Outgoing, Scope,
    frame::{Carried, Envelope, Message, Standing, encode},
};
use tokio::time::{Duration, timeout};

use super::{Mistake, Shared, counting::WIDENED};

/// No transport may take longer.
const LIMIT: Duration = Duration::from_secs(2);

impl Shared {
    /// Says so to the others: here and now, or when it is its turn.
    pub(super) async fn tell(
        self: &Arc<Self>,
        entries: Vec<Entry>,
        standing: &Standing,
    ) -> Result<(), BoxError> {
        let carried = |entry| Carried {
            entry,
            standing: standing.clone(),
        };
        let carried = entries.into_iter().map(carried).collect();
        match self.mistake {
            Mistake::AwaitsPublish => {
                let _ = self.publish(carried).await;
            }
            Mistake::FailsWithItsTransport => self.publish(carried).await?,
            Mistake::PublishesAllAtOnce => {
                let shared = Arc::clone(self);
                tokio::spawn(async move { drop(shared.publish(carried).await) });
            }
            _ => self.push(carried),
        }
        Ok(())
    }

    fn push(&self, carried: Vec<Carried>) {
        let mut waiting = self.outbox.lock();
        waiting.extend(carried);
        let items = |one: &Carried| match &one.entry.invalidation {
            Invalidation::Cache { scope, .. } => scope.len().max(1),
            Invalidation::Everything => 1,
        };
        if waiting.iter().map(items).sum::<usize>() > self.setup.outbox_items {
            match self.mistake {
                Mistake::DropsWhatOverflows => drop(waiting.pop()),
                Mistake::WaitsWithoutBound => {}
                _ => {
                    self.count(WIDENED, "what waits is too much");
                    let whole = |one: &Carried| match &one.entry.invalidation {
                        Invalidation::Cache { cache, .. } => Invalidation::Cache {
                            cache: cache.clone(),
                            scope: Scope::All,
                        },
                        Invalidation::Everything => Invalidation::Everything,
                    };
                    let mut widened: Vec<_> = waiting.iter().map(whole).collect();
                    widened.sort_by_key(|one| format!("{one:?}"));
                    widened.dedup();
                    let claim = |what| Carried {
                        entry: Entry::new(what),
                        standing: Standing::Claimed,
                    };
                    *waiting = widened.into_iter().map(claim).collect();
                }
            }
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Publishes what waits, one frame at a time.
    pub(super) async fn publish_all(self: Arc<Self>) {
        loop {
            self.filled.notified().await;
            let waiting = std::mem::take(&mut *self.outbox.lock());
            if waiting.is_empty() {
                continue;
            }
            let held = match self.mistake {
                Mistake::PublishesUnderLock => Some(self.applying.lock().await),
                _ => None,
            };
            // The log tells those whom this does not reach.
            let _ = self.publish(waiting).await;
            drop(held);
        }
    }

    async fn publish(&self, carried: Vec<Carried>) -> Result<(), BoxError> {
        let sequence = {
            let mut state = self.state.lock();
            state.sent += 1;
            state.sent
        };
        let bytes = encode(&Envelope {
            cluster: ClusterName::new(CLUSTER).expect("a good name"),
            origin: self.id,
            sequence,
            message: Message::Invalidations(carried),
        });
        let published = self.setup.transport.publish(Outgoing::to_all(bytes));
        timeout(LIMIT, published).await??;
        Ok(())
    }
}
