//! Appends outside a transaction: concurrent callers are grouped into one statement.

use std::sync::Arc;

use invalidation_core::{Entry, Error, ErrorKind, Position};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    connection::bounded,
    cursor::{Epoch, position},
    error::{breaks_connection, duplicate, error, from_sqlx, is_denied},
    insert::{insert, nonce, parameter, statement},
    log::{Known, Shared},
    rows::encode,
};

const OPERATION: &str = "append";

/// How many callers may wait; one more waits for a place.
const QUEUE: usize = 1_024;

/// How many callers share one statement.
const GROUP: usize = 256;

/// The most bytes of keys and tags of one append: far below the servers' own limit of 1 GB. Most are
/// configured for less (`max_allowed_packet`).
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

    /// Appends `entries`. The statement runs in the task, so a caller that goes away takes no other's with it.
    pub(crate) async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        check_size(OPERATION, entries)?;
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

/// Refuses what is too large for one statement.
pub(crate) fn check_size(operation: &'static str, entries: &[Entry]) -> Result<(), Error> {
    let bytes: usize = entries.iter().map(bytes_of).sum();
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(error(
        ErrorKind::TooLarge,
        operation,
        format!(
            "{bytes} bytes of keys and tags are more than {MAX_BYTES}: append fewer at a time, or clear the cache"
        ),
    ))
}

fn bytes_of(entry: &Entry) -> usize {
    let (cache, _, items) = encode(&entry.invalidation);
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
    let limit = shared.settings.write_timeout;
    match bounded(OPERATION, limit, append(shared, &group)).await {
        Ok(mut positions) => {
            for job in group {
                let rest = positions.split_off(job.entries.len());
                let own = std::mem::replace(&mut positions, rest);
                // A caller that went away in the meantime is no concern: its entries are committed.
                let _gone = job.reply.send(Ok(own));
            }
        }
        Err(e) => {
            for job in group {
                let _gone = job.reply.send(Err(duplicate(&e)));
            }
        }
    }
}

async fn append(shared: &Shared, group: &[Job]) -> Result<Vec<Position>, Error> {
    let entries = || group.iter().flat_map(|job| &job.entries);
    let mut slot = shared.writer.lock().await;
    // Queued before the log was closed: it must not connect again.
    shared.check_open(OPERATION)?;
    let mut session = slot.take(OPERATION).await?;
    // Twice, because another server may have taken over since it was last looked at.
    for _ in 0..2 {
        let known = shared.known_on(OPERATION, &mut session).await?;
        let sql = statement(&shared.settings.database, known.flavour);
        let parameter = parameter(&known.server, entries());
        if let Err(e) = check_packet(OPERATION, &known, &parameter) {
            slot.put(session);
            return Err(e);
        }
        match insert(&mut session.connection, &sql, &parameter).await {
            Ok(inserted) if inserted == entries().count() as u64 => {
                slot.put(session);
                return Ok(positions(known.epoch, entries()));
            }
            Ok(_) => session.is_known = false,
            Err(e) => {
                // A user's new rights are those of a new connection.
                if !breaks_connection(&e) && !is_denied(&e) {
                    slot.put(session);
                }
                return Err(from_sqlx(OPERATION, e));
            }
        }
    }
    Err(error(
        ErrorKind::Unavailable,
        OPERATION,
        "the log finds itself on another server again and again: wait until the failover is over",
    ))
}

/// Where the entries stand: by their nonces.
pub(crate) fn positions<'a>(
    epoch: Epoch,
    entries: impl Iterator<Item = &'a Entry>,
) -> Vec<Position> {
    let identity = epoch.to_word();
    entries
        .map(|entry| position(identity.clone(), nonce(entry)))
        .collect()
}

/// Refuses what the server would end the connection for.
pub(crate) fn check_packet(
    operation: &'static str,
    known: &Known,
    parameter: &str,
) -> Result<(), Error> {
    /// What surrounds the parameter.
    const AROUND: usize = 4_096;
    if parameter.len().saturating_add(AROUND) <= known.max_packet {
        return Ok(());
    }
    Err(error(
        ErrorKind::TooLarge,
        operation,
        format!(
            "{} bytes of keys and tags are more than the server's max_allowed_packet of {}: append fewer at a time, or \
             clear the cache",
            parameter.len(),
            known.max_packet
        ),
    ))
}
