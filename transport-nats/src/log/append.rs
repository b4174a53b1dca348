//! Appends: concurrent callers are grouped into one message, which is stored as a whole or not at all.

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use invalidation_core::{Entry, Error, ErrorKind, LogIdentity, Position};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Shared,
    connection::closed,
    cursor::{Place, fingerprint},
    fleet, record,
};
use crate::error::{duplicate, error, timed_out};

const OPERATION: &str = "append";

/// How many callers may wait; one more waits for a place.
const QUEUE: usize = 1_024;
/// How many callers share one message.
const GROUP: usize = 256;
/// How many bytes callers share; one alone may have more.
const SHARED_BYTES: usize = 64 << 10;
/// How many messages wait for their acknowledgements at once. 20,000 of them would hang the client.
const IN_FLIGHT: usize = 4;
/// The largest message, whatever more the server takes: it comes back in an answer of one and a third of its size.
const MAX_BYTES: usize = 1 << 20;

/// The callers' side of the task that appends.
#[derive(Debug)]
pub(super) struct Appender {
    /// `None` once the log is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Job {
    records: Vec<Bytes>,
    /// Of the records in a message.
    size: usize,
    reply: oneshot::Sender<Result<Vec<Position>, Error>>,
}

impl Appender {
    /// Starts the task. It ends when this is dropped or closed, after what was queued.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(run(shared, receiver));
        Self {
            jobs: Mutex::new(Some(sender)),
        }
    }

    /// Appends `entries`. A caller that goes away before its message is sent appends nothing.
    pub(super) async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let records: Vec<_> = entries.iter().map(record::encoded).collect();
        let size = records.iter().map(record::size).sum::<usize>() + 1;
        if size > MAX_BYTES {
            return Err(too_large(size, MAX_BYTES));
        }
        let sender = self.jobs.lock().clone().ok_or_else(|| closed(OPERATION))?;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            records,
            size,
            reply,
        };
        sender.send(job).await.map_err(|_| closed(OPERATION))?;
        drop(sender);
        answer.await.map_err(|_| closed(OPERATION))?
    }

    pub(super) fn close(&self) {
        self.jobs.lock().take();
    }
}

fn too_large(size: usize, most: usize) -> Error {
    error(
        ErrorKind::TooLarge,
        OPERATION,
        format!(
            "{size} bytes of entries are above the {most} of one message: append fewer keys at a time, or clear the cache"
        ),
    )
}

async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut came = Vec::new();
    let mut waiting: VecDeque<Vec<Job>> = VecDeque::new();
    let mut flights = FuturesUnordered::new();
    loop {
        while flights.len() < IN_FLIGHT
            && let Some(group) = waiting.pop_front()
        {
            flights.push(append_group(&shared, group));
        }
        let has_room = waiting.is_empty() && flights.len() < IN_FLIGHT;
        tokio::select! {
            biased;
            Some(()) = flights.next() => {}
            count = jobs.recv_many(&mut came, GROUP), if has_room => {
                if count == 0 {
                    break;
                }
                waiting.extend(grouped(mem::take(&mut came)));
            }
        }
    }
    while flights.next().await.is_some() {}
}

/// Parts callers into messages, in their order.
fn grouped(jobs: Vec<Job>) -> Vec<Vec<Job>> {
    let mut groups: Vec<Vec<Job>> = Vec::new();
    let mut bytes = 0;
    for job in jobs {
        bytes += job.size;
        match groups.last_mut() {
            Some(group) if bytes <= SHARED_BYTES => group.push(job),
            _ => {
                bytes = job.size;
                groups.push(vec![job]);
            }
        }
    }
    groups
}

async fn append_group(shared: &Shared, mut group: Vec<Job>) {
    // Nobody waits for these any more, and none of them was begun.
    group.retain(|job| !job.reply.is_closed());
    if group.is_empty() {
        return;
    }
    match append(shared, &group).await {
        Ok(mut positions) => {
            for job in group {
                let rest = positions.split_off(job.records.len());
                let own = mem::replace(&mut positions, rest);
                // A caller that went away meanwhile is no concern: its entries are stored.
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
                let _gone = job.reply.send(Err(duplicate(&e, OPERATION)));
            }
        }
    }
}

/// Whether it was refused for its size, or for want of room: nothing of it was stored.
fn was_refused(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::TooLarge | ErrorKind::ReadOnly)
}

async fn append(shared: &Shared, group: &[Job]) -> Result<Vec<Position>, Error> {
    let limit = shared.settings.write_timeout;
    match timeout(limit, send(shared, group)).await {
        Ok(done) => done,
        Err(_) => Err(timed_out(OPERATION, limit)),
    }
}

async fn send(shared: &Shared, group: &[Job]) -> Result<Vec<Position>, Error> {
    let session = shared.writer.session(OPERATION).await?;
    // Before it is stored, so that an append which is acknowledged is one whose position is known.
    let identity = fleet::written(shared, &session, OPERATION).await?;
    let records: Vec<_> = group.iter().flat_map(|job| &job.records).cloned().collect();
    let count = records.len();
    let message = record::message(records);
    if message.len() > session.max_payload() {
        return Err(too_large(message.len(), session.max_payload()));
    }
    let fingerprint = fingerprint(&message);
    let sequence = shared.api.publish(&session, OPERATION, message).await?;
    Ok(positions(identity.to_word(), sequence, fingerprint, count))
}

fn positions(
    identity: LogIdentity,
    sequence: u64,
    fingerprint: u64,
    count: usize,
) -> Vec<Position> {
    (0..u32::try_from(count).unwrap_or(u32::MAX))
        .map(|index| {
            let place = Place {
                sequence,
                index,
                fingerprint,
            };
            place.to_position(&identity)
        })
        .collect()
}
