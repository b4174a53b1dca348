//! Appends of concurrent callers, grouped.

use std::{future::Future, panic::AssertUnwindSafe, slice, sync::Arc};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::append_limits::{AppendLimits, bytes_of};
use crate::{Entry, Error, ErrorKind, Position};

const OPERATION: &str = "append";

/// How a log appends a group: one statement, one script, one transaction.
pub trait AppendGroup: Send + Sync + 'static {
    /// Appends `entries`, of which there is at least one, in order and in one atomic step; one position for each.
    ///
    /// It is called by one task, so one at a time, and bounds itself by a timeout: whoever comes later waits for it. Once
    /// the log is closed it is still asked for what was queued before, and may refuse.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge), [`ReadOnly`](ErrorKind::ReadOnly) and [`Invalid`](ErrorKind::Invalid) say that
    /// nothing was written, since each caller of the group is then tried alone. Any other kind leaves that open.
    fn append_group(
        &self,
        entries: &[&Entry],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send;
}

/// The callers' side of a task that groups their appends.
///
/// What arrives while a group is under way waits, and goes with the next one.
///
/// # Contract
/// - Callers come in the order in which they were queued, the entries of each side by side and in their order. Each
///   gets the positions of its own.
/// - A caller that goes away before its group began leaves nothing; later, its entries are appended all the same, or
///   not, as a whole, and no other caller is the worse for it.
/// - A group that was refused for what it holds, or for want of room, is tried again caller by caller, so that none fails
///   for another's entries. Nothing else is retried: the node does that.
/// - A group that panics fails for its callers, with [`ErrorKind::Other`]; later ones are served.
/// - Whoever appends after [`close`](Self::close), or when the runtime has ended, gets [`ErrorKind::Closed`]; what was
///   queued before is served. Dropping it does the same, and the task ends after that.
#[derive(Debug)]
pub struct AppendQueue {
    limits: AppendLimits,
    /// `None` once it is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Job {
    entries: Vec<Entry>,
    reply: oneshot::Sender<Result<Vec<Position>, Error>>,
}

impl AppendQueue {
    /// Starts the task.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start<G: AppendGroup>(log: Arc<G>, limits: AppendLimits) -> Self {
        let (sender, receiver) = mpsc::channel(limits.queue.max(1));
        tokio::spawn(run(log, limits, receiver));
        Self {
            limits,
            jobs: Mutex::new(Some(sender)),
        }
    }

    /// Appends `entries`; without any it does nothing.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] for more than the limit, [`ErrorKind::Closed`], and those of
    /// [`append_group`](AppendGroup::append_group).
    pub async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        self.limits.check(OPERATION, entries)?;
        let closed = || {
            let message = "the log was closed: open another";
            Error::new(ErrorKind::Closed, self.limits.backend, OPERATION, message)
        };
        let sender = self.jobs.lock().clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            entries: entries.to_vec(),
            reply,
        };
        sender.send(job).await.map_err(|_| closed())?;
        drop(sender);
        answer.await.map_err(|_| closed())?
    }

    /// Takes no more. Idempotent.
    pub fn close(&self) {
        self.jobs.lock().take();
    }
}

async fn run<G: AppendGroup>(log: Arc<G>, limits: AppendLimits, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while jobs.recv_many(&mut group, limits.group.max(1)).await > 0 {
        // Nobody waits for these any more, and none of them was begun.
        group.retain(|job: &Job| !job.reply.is_closed());
        let bytes: usize = group
            .iter()
            .flat_map(|job| &job.entries)
            .map(bytes_of)
            .sum();
        if bytes > limits.bytes {
            append_one_by_one(&*log, &limits, std::mem::take(&mut group)).await;
        } else if !group.is_empty() {
            append_together(&*log, &limits, std::mem::take(&mut group)).await;
        }
    }
}

async fn append_together<G: AppendGroup>(log: &G, limits: &AppendLimits, group: Vec<Job>) {
    match append(log, limits, &group).await {
        // One of them may be what was refused: the others are not to fail for it.
        Err(e) if group.len() > 1 && was_refused(&e) => append_one_by_one(log, limits, group).await,
        result => answer(group, result),
    }
}

async fn append_one_by_one<G: AppendGroup>(log: &G, limits: &AppendLimits, group: Vec<Job>) {
    for job in group {
        if !job.reply.is_closed() {
            let result = append(log, limits, slice::from_ref(&job)).await;
            answer(vec![job], result);
        }
    }
}

/// Whether what the group holds was refused, or there was no room for it: nothing of it was written.
fn was_refused(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::TooLarge | ErrorKind::ReadOnly | ErrorKind::Invalid
    )
}

async fn append<G: AppendGroup>(
    log: &G,
    limits: &AppendLimits,
    group: &[Job],
) -> Result<Vec<Position>, Error> {
    let entries: Vec<_> = group.iter().flat_map(|job| &job.entries).collect();
    let failed = |message: String| Error::new(ErrorKind::Other, limits.backend, OPERATION, message);
    let positions = AssertUnwindSafe(async { log.append_group(&entries).await })
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(failed("panicked: see its message".into())))?;
    if positions.len() != entries.len() {
        return Err(failed(format!(
            "{} positions for {} entries",
            positions.len(),
            entries.len()
        )));
    }
    Ok(positions)
}

fn answer(group: Vec<Job>, result: Result<Vec<Position>, Error>) {
    let mut positions = result.map(Vec::into_iter);
    for job in group {
        let own = match &mut positions {
            Ok(positions) => Ok(positions.by_ref().take(job.entries.len()).collect()),
            Err(e) => Err(e.duplicate()),
        };
        // A caller that went away in the meantime is no concern: its entries are committed, or they are not.
        let _gone = job.reply.send(own);
    }
}
