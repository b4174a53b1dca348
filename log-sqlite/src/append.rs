//! Appends outside a transaction: concurrent callers are grouped into one statement.

use std::sync::Arc;

use invalidation_core::{Entry, Error, ErrorKind, Position};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    connection::Missing,
    cursor::position,
    error::{breaks_connection, duplicate, error, from_sqlx},
    file_identity::FileIdentity,
    insert::insert,
    log::Shared,
    read,
};

const OPERATION: &str = "append";

/// How many callers may wait; one more waits for a place.
const QUEUE: usize = 1_024;

/// How many callers share one statement.
const GROUP: usize = 256;

/// The most bytes of keys and tags of one append: far below SQLite's own limit of 10⁹ for a text.
const MAX_BYTES: usize = 64 << 20;

/// The callers' side of the task that appends.
#[derive(Debug)]
pub(crate) struct Appender {
    /// `None` once the log is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Job {
    entries: Vec<Entry>,
    reply: oneshot::Sender<Result<Vec<Position>, Error>>,
}

impl Appender {
    /// Starts the task. It ends when this is dropped or closed, after what was queued.
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(run(shared, receiver));
        Self {
            jobs: Mutex::new(Some(sender)),
        }
    }

    /// Appends `entries`. The statement runs in the task, so a caller that goes away never leaves it half
    /// done: it happened, or it did not.
    pub(crate) async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let bytes: usize = entries.iter().map(bytes_of).sum();
        if bytes > MAX_BYTES {
            return Err(error(
                ErrorKind::TooLarge,
                OPERATION,
                format!(
                    "{bytes} bytes of keys and tags are more than {MAX_BYTES}: append fewer at a time, or \
                     clear the cache"
                ),
            ));
        }
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

    pub(crate) fn close(&self) {
        self.jobs.lock().take();
    }
}

fn closed() -> Error {
    crate::log::closed(OPERATION)
}

fn bytes_of(entry: &Entry) -> usize {
    let (cache, _, items) = crate::rows::encode(&entry.invalidation);
    let items: usize = items.iter().map(|item| item.len()).sum();
    cache.map_or(0, str::len) + items
}

async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        // Nobody waits for these any more, and none of them was begun.
        group.retain(|job: &Job| !job.reply.is_closed());
        let bytes: usize = group
            .iter()
            .flat_map(|job| &job.entries)
            .map(bytes_of)
            .sum();
        if bytes > MAX_BYTES {
            for job in group.drain(..) {
                append_group(&shared, vec![job]).await;
            }
        } else if !group.is_empty() {
            append_group(&shared, std::mem::take(&mut group)).await;
        }
    }
}

async fn append_group(shared: &Shared, group: Vec<Job>) {
    match append(shared, &group).await {
        Ok(mut positions) => {
            for job in group {
                let rest = positions.split_off(job.entries.len());
                let own = std::mem::replace(&mut positions, rest);
                // A caller that went away in the meantime is no concern: its entries are committed.
                let _gone = job.reply.send(Ok(own));
            }
        }
        // One of them may be what was refused: the others are not to fail for it.
        Err(e) if group.len() > 1 && was_refused(&e) => {
            for job in group {
                Box::pin(append_group(shared, vec![job])).await;
            }
        }
        Err(e) => {
            for job in group {
                let _gone = job.reply.send(Err(duplicate(&e)));
            }
        }
    }
}

/// Whether the statement was refused for what it holds, or for want of room: nothing of it was written.
fn was_refused(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::TooLarge | ErrorKind::ReadOnly | ErrorKind::Invalid
    )
}

async fn append(shared: &Shared, group: &[Job]) -> Result<Vec<Position>, Error> {
    let entries = || group.iter().flat_map(|job| &job.entries);
    let count = entries().count();
    let mut slot = shared.writer.lock().await;
    // Queued before the log was closed: it must not open the file again.
    shared.check_open(OPERATION)?;
    // Twice, because the log may have been restored in place since its id was last read.
    for _ in 0..2 {
        let handle = slot.ready(OPERATION, Missing::Refuse).await?;
        let (log, file) = match handle.log {
            Some(log) => (log, handle.file),
            None => {
                let (_, identity) = read::head(handle, OPERATION).await?;
                shared.learn(identity);
                (identity.log, identity.file)
            }
        };
        match insert(&mut handle.connection, log, entries()).await {
            Ok(ids) if ids.len() == count => {
                // Committed to a file that others no longer look at: nobody will read it (`P1`).
                if FileIdentity::of(&shared.settings.path).ok() != Some(file) {
                    slot.discard();
                    return Err(error(
                        ErrorKind::Unavailable,
                        OPERATION,
                        "the log's file was replaced during the append: append again",
                    ));
                }
                let identity = crate::cursor::Identity { log, file }.to_word();
                return Ok(ids
                    .into_iter()
                    .map(|id| position(identity.clone(), id))
                    .collect());
            }
            Ok(_) => handle.log = None,
            Err(e) => {
                if breaks_connection(&e) {
                    slot.discard();
                }
                return Err(from_sqlx(OPERATION, e));
            }
        }
    }
    Err(error(
        ErrorKind::Unavailable,
        OPERATION,
        "the log's id changes again and again: wait until the restore is over",
    ))
}
