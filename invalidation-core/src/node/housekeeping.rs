//! Background work that no promise waits for: purging the log, maintaining the caches.

use std::{sync::Arc, time::Duration};

use super::{poller::timed, shared::Shared, supervise::Task};
use crate::{log::SharedLog, observe};

/// How long one purge may take. It works in small chunks; what is left is for the next.
const PURGE_LIMIT: Duration = Duration::from_secs(300);

/// Deletes log entries older than the retention, a few times within each retention.
pub(super) struct Purger {
    pub(super) shared: Arc<Shared>,
    pub(super) log: SharedLog,
}

impl Task for Purger {
    const NAME: &'static str = "purger";

    async fn run(&mut self) {
        let retention = self.shared.settings.retention;
        loop {
            // Spread over the fleet: every node purges, none at the same moment.
            tokio::time::sleep((retention / 10).mul_f64(rand::random_range(0.5..1.5))).await;
            match timed(PURGE_LIMIT, "purge", self.log.purge(retention)).await {
                Ok(purged) => observe::purged(purged.entries),
                Err(error) => tracing::warn!(%error, "the log was not purged; trying again later"),
            }
        }
    }
}

/// Lets the caches free what they can no longer serve.
pub(super) struct Janitor {
    pub(super) shared: Arc<Shared>,
}

impl Task for Janitor {
    const NAME: &'static str = "janitor";

    async fn run(&mut self) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for (name, target) in self.shared.applier.registry.all() {
                if tokio::task::spawn_blocking(move || target.maintain())
                    .await
                    .is_err()
                {
                    observe::target_failed(&name, "maintain_panic");
                }
            }
        }
    }
}
