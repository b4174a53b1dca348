//! Whether the cluster compacts its history.

use std::time::{Duration, Instant};

use etcd_client::GetOptions;
use invalidation_core::Error;
use parking_lot::Mutex;

use super::Shared;
use crate::error::Failure;

const OPERATION: &str = "purge";

/// For how long a history may be kept at least without a warning.
const LEAST: Duration = Duration::from_secs(3_600);

/// How much more of it there must be.
const REVISIONS: i64 = 1_000;

/// A revision of some time ago, by this machine's own clock alone (`P17`).
#[derive(Debug, Default)]
pub(crate) struct History {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    revision: i64,
    at: Instant,
}

impl History {
    /// Now is `revision`; an older one that should be compacted by now, if there is any.
    fn due(&self, revision: i64, kept: Duration, now: Instant) -> Option<i64> {
        let mut seen = self.seen.lock();
        let old = *seen.get_or_insert(Seen { revision, at: now });
        // The store is another one.
        if revision < old.revision {
            *seen = Some(Seen { revision, at: now });
            return None;
        }
        let is_old = now.saturating_duration_since(old.at) >= kept;
        if !is_old {
            return None;
        }
        *seen = Some(Seen { revision, at: now });
        (revision - old.revision >= REVISIONS).then_some(old.revision)
    }
}

/// Warns where a state of twice the retention ago can still be read: every append writes a ring anew, and the cluster keeps
/// them all until it compacts.
pub(crate) async fn look(shared: &Shared, retention: Duration) -> Result<(), Error> {
    let limit = shared.settings.write_timeout;
    let key = shared.keys.newest();
    let present = shared.link.call(OPERATION, limit, |session| async move {
        let options = GetOptions::new().with_count_only();
        session.kv().get(key, Some(options)).await
    });
    let revision = present
        .await?
        .header()
        .map_or(0, |header| header.revision());
    let kept = retention.saturating_mul(2).max(LEAST);
    let Some(old) = shared.history.due(revision, kept, Instant::now()) else {
        return Ok(());
    };
    if is_kept(shared, old).await? {
        tracing::warn!(
            hours = kept.as_secs() / 3_600,
            revisions = revision - old,
            "etcd does not compact its history, and will run out of space: set --auto-compaction-retention on its members"
        );
    }
    Ok(())
}

/// Whether the state of this revision can still be read.
async fn is_kept(shared: &Shared, revision: i64) -> Result<bool, Error> {
    let options = GetOptions::new().with_revision(revision).with_count_only();
    let key = shared.keys.newest();
    let limit = shared.settings.write_timeout;
    shared
        .link
        .call(OPERATION, limit, |session| async move {
            match session.kv().get(key, Some(options)).await {
                Ok(_) => Ok(true),
                Err(e) if Failure::of(&e) == Failure::Compacted => Ok(false),
                Err(e) => Err(e),
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P17: what is old is so by one clock, and a little history is no reason to warn.
    #[test]
    fn old_states_are_looked_for() {
        let (history, start) = (History::default(), Instant::now());
        let after = |hours: u64| start + LEAST * u32::try_from(hours).unwrap_or_default();
        assert_eq!(history.due(5, LEAST, start), None);
        assert_eq!(history.due(9_000, LEAST, start + LEAST / 2), None);
        assert_eq!(history.due(9_999, LEAST, after(1)), Some(5));
        assert_eq!(history.due(10_500, LEAST, after(2)), None);
        assert_eq!(history.due(12_000, LEAST, after(3)), Some(10_500));
        assert_eq!(history.due(7, LEAST, after(9)), None);
        assert_eq!(history.due(2_000, LEAST, after(10)), Some(7));
    }
}
