//! Invalidations of a write in a database that the log cannot join.

use std::{fmt, future::Future, sync::Arc};

use thiserror::Error as ThisError;

use super::{pending::Pending, poller::timed, receipt::Receipt, shared::Shared};
use crate::{error::Error, frame::Standing};

/// Invalidations of a write that another database commits: they are logged as a second step, after the commit.
///
/// # What it promises
/// While it is open, this node fills no entry that it covers. Whatever becomes of the commit, of the caller and of the
/// log, the invalidations are logged by this process in the end: dropped, cancelled, with the commit's outcome unknown
/// or the log away, they are applied here, published as *claimed*, and appended in the background until the log has
/// taken them. Until then this node goes on to fill nothing that they cover.
///
/// # What it does not
/// A process that dies between the commit and the append takes the invalidation with it: other nodes are then bounded by
/// their TTL alone. Only a log that [joins the transaction](super::Changes::log_in) has `P2`, and with it `P1` and
/// `P3` for that moment; see [`LogCapabilities::transactional`](crate::LogCapabilities::transactional). The
/// staleness that `max_staleness` bounds is counted from the append, not from the commit.
#[must_use = "commit the transaction through `commit`, or call `committed` after it"]
pub struct TwoStep {
    step: Step,
    want_ack: bool,
}

/// Why a write in two steps is not done.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum TwoStepError<E> {
    /// The commit failed, or its outcome is unknown: the driver's own error. The invalidation is logged all the same, which
    /// costs a miss and is never wrong.
    #[error("the transaction was not committed")]
    Commit(#[source] E),
    /// The write is committed, and its invalidation is not in the log yet. It was applied here and given to the transports,
    /// and is appended in the background until the log takes it. Nothing is to be done again.
    #[error("committed; its invalidation will be logged when the log can be written again")]
    Log(#[source] Error),
}

impl TwoStep {
    /// Opens the quarantine.
    pub(super) fn open(pending: Pending, want_ack: bool) -> Self {
        Self {
            step: Step(Some(pending)),
            want_ack,
        }
    }

    /// Awaits the driver's commit, then appends to the log, applies here, and publishes. Takes any lazy commit future, such
    /// as `tx.commit()`. When it returns `Ok`, the invalidations are in the log and this node no longer serves the old
    /// values (`P6`). The append is bounded by the node's append timeout.
    ///
    /// Cancel-safe: see [`TwoStep`].
    ///
    /// # Errors
    /// See [`TwoStepError`].
    pub async fn commit<T, E>(
        self,
        commit: impl Future<Output = Result<T, E>>,
    ) -> Result<Receipt, TwoStepError<E>> {
        commit.await.map_err(TwoStepError::Commit)?;
        self.committed().await.map_err(TwoStepError::Log)
    }

    /// The transaction was committed by other means: appends, applies here, and publishes.
    ///
    /// Cancel-safe: see [`TwoStep`].
    ///
    /// # Errors
    /// As [`TwoStepError::Log`].
    pub async fn committed(self) -> Result<Receipt, Error> {
        let Self { mut step, want_ack } = self;
        let (shared, entries) = step.parts();
        shared.check_open("committed")?;
        let positions = match &shared.log {
            None => Vec::new(),
            Some(log) => {
                let limit = shared.settings.append_timeout;
                timed(limit, "append", log.append(&entries)).await?
            }
        };
        Ok(step.take().logged(positions, want_ack))
    }

    /// The transaction was rolled back for certain: nothing is logged and nothing is published.
    pub fn rolled_back(self) {
        let Self { mut step, .. } = self;
        step.take().rolled_back();
    }
}

/// What is to be logged whatever happens. Dropping it with something in it leaves that to the background.
struct Step(Option<Pending>);

impl Step {
    const OPEN: &str = "only `take` empties it, and takes the step along";

    fn parts(&self) -> (Arc<Shared>, Vec<crate::Entry>) {
        let pending = self.0.as_ref().expect(Self::OPEN);
        (pending.shared().clone(), pending.entries().to_vec())
    }

    fn take(&mut self) -> Pending {
        self.0.take().expect(Self::OPEN)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            let shared = pending.shared().clone();
            // Without a log, what the drop of a `Pending` does is all there is to do.
            if shared.has_log() {
                let claimed = Standing::Claimed;
                drop(shared.spread(pending.entries(), Vec::new(), &claimed, false));
                shared.unlogged.push(pending);
            }
        }
    }
}

impl fmt::Debug for TwoStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwoStep")
            .field("pending", &self.step.0)
            .finish_non_exhaustive()
    }
}
