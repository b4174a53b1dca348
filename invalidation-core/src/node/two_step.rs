//! Invalidations of a write in a database that the log cannot join.

use std::{fmt, future::Future, sync::Arc};

use thiserror::Error as ThisError;
use tokio::time::Instant;

use super::{pending::Pending, poller::timed, receipt::Receipt, shared::Shared, unlogged::Write};
use crate::{
    error::{Error, ErrorKind},
    frame::Standing,
    words::Entry,
};

/// Invalidations of a write that another database commits: they are logged as a second step, after the commit.
///
/// # What it promises
/// While it is open, this node fills no entry that it covers. Whatever becomes of the caller and of the log, the
/// invalidations are logged by this process in the end: when the log is away, or the caller is cancelled, they are applied
/// here, published as *claimed*, and appended in the background until the log has taken them.
///
/// Dropped, or with a commit that failed or was cancelled, the outcome is unknown, and the server may still commit. They
/// are then logged at once, and once more after
/// [`commit_settles_within`](crate::NodeSettings::commit_settles_within); until that this node fills nothing that they cover.
///
/// A node that is [shut down](crate::Node::shutdown) waits, up to its deadline, for the steps that are open and for what is
/// not logged yet.
///
/// # What it does not
/// - A process that dies between the commit and the append, or whose last [`Node`](crate::Node) is dropped there, takes the
///   invalidation with it: other nodes are then bounded by their TTL alone. So they are where a commit of unknown outcome
///   takes effect later than `commit_settles_within`.
/// - Only a log that [joins the transaction](super::Changes::log_in) has `P2`; see
///   [`LogCapabilities::transactional`](crate::LogCapabilities::transactional). The staleness that `max_staleness` bounds is
///   counted from the append, not from the commit.
/// - At most 4,096 writes wait for the log, and as many again on their way to it; where there are more, everything is
///   invalidated in the place of those that do not fit.
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
    /// and is appended in the background for as long as this node runs. Nothing is to be done again, unless the node was
    /// shut down ([`ErrorKind::Closed`](crate::ErrorKind::Closed)).
    #[error("committed; its invalidation is not in the log yet")]
    Log(#[source] Error),
}

impl TwoStep {
    /// Opens the quarantine of these entries.
    ///
    /// # Errors
    /// When the node has ended.
    pub(super) fn open(
        shared: Arc<Shared>,
        entries: Vec<Entry>,
        want_ack: bool,
    ) -> Result<Self, Error> {
        // Counted before the look: a node that ends sees the one, or this the other.
        shared.unlogged.opened();
        if let Err(error) = shared.check_open("in_two_steps") {
            shared.unlogged.ended();
            return Err(error);
        }
        let step = Step {
            pending: Some(Pending::open(shared.clone(), entries)),
            shared,
            is_committed: false,
        };
        Ok(Self { step, want_ack })
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
        step.is_committed = true;
        let shared = step.shared.clone();
        let Some(log) = &shared.log else {
            return Ok(step.take().logged(Vec::new(), want_ack));
        };
        // Who waits for the same thing already need not be joined by every writer (`P16`).
        if shared.unlogged.is_failing() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "node",
                "committed",
                "the log takes nothing at the moment: see the error that the node logs",
            ));
        }
        let entries = step.pending().entries().to_vec();
        let limit = shared.settings.append_timeout;
        let positions = timed(limit, "append", log.append(&entries)).await?;
        Ok(step.take().logged(positions, want_ack))
    }

    /// The transaction was rolled back for certain: nothing is logged and nothing is published.
    pub fn rolled_back(self) {
        self.step.take().rolled_back();
    }
}

/// What is to be logged whatever happens. Dropping it with something in it leaves that to the background.
struct Step {
    shared: Arc<Shared>,
    pending: Option<Pending>,
    is_committed: bool,
}

impl Step {
    const OPEN: &str = "only `take` empties it, and takes the step along";

    fn pending(&self) -> &Pending {
        self.pending.as_ref().expect(Self::OPEN)
    }

    fn take(mut self) -> Pending {
        self.pending.take().expect(Self::OPEN)
    }

    /// Leaves it to the background.
    fn leave(&self, pending: Pending) {
        let (unlogged, now) = (&self.shared.unlogged, Instant::now());
        if !self.shared.has_log() {
            // The fast path is all there is.
            return pending.claim();
        }
        let entries = pending.entries().to_vec();
        if self.is_committed {
            pending.claim();
            return unlogged.push(Write {
                entries,
                held: None,
                due: now,
            });
        }
        let claimed = Standing::Claimed;
        drop(self.shared.spread(&entries, Vec::new(), &claimed, false));
        // Other entries, since the same ones would be known as applied.
        let again = entries.iter().map(|entry| entry.invalidation.clone());
        let again = again.map(Entry::new).collect();
        unlogged.push(Write {
            entries,
            held: None,
            due: now,
        });
        unlogged.push(Write {
            entries: again,
            held: Some(pending),
            due: now + self.shared.settings.commit_settles_within,
        });
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.leave(pending);
        }
        self.shared.unlogged.ended();
    }
}

impl fmt::Debug for TwoStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwoStep")
            .field("pending", &self.step.pending)
            .finish_non_exhaustive()
    }
}
