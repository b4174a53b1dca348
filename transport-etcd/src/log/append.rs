//! Appends: concurrent callers are grouped into one transaction.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use etcd_client::Txn;
use invalidation_core::{Entry, Error, Position};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    Shared,
    answer::{Answer, look_at},
    packed::{Packed, pack},
    ring::KEPT_BYTES,
    write::{Target, crowded, step_aside},
};
use crate::error::{closed, duplicate};

const OPERATION: &str = "append";

/// How many callers may wait; one more waits for a place.
const QUEUE: usize = 1_024;

/// For how long a ring that was seen is taken to be as it was. Afterwards it is looked at first: a refused write costs the
/// cluster as much as one that is taken, and a look far less.
const FRESH: Duration = Duration::from_millis(20);

/// The callers' side of the task that appends.
#[derive(Debug)]
pub(crate) struct Appender {
    /// `None` once the log is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Job {
    packed: Packed,
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

    /// Appends `entries`. The transaction runs in the task, so a caller that goes away takes no other's with it.
    pub(crate) async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let packed = pack(OPERATION, entries)?;
        let sender = self.jobs.lock().clone().ok_or_else(|| closed(OPERATION))?;
        let (reply, answer) = oneshot::channel();
        let sent = sender.send(Job { packed, reply }).await;
        sent.map_err(|_| closed(OPERATION))?;
        drop(sender);
        answer.await.map_err(|_| closed(OPERATION))?
    }

    pub(crate) fn close(&self) {
        self.jobs.lock().take();
    }
}

async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut writer = Writer {
        shared,
        seen: None,
        turn: None,
    };
    let mut waiting = Vec::new();
    while jobs.recv_many(&mut waiting, QUEUE).await > 0 {
        let mut group = Vec::new();
        let mut bytes = 0;
        for job in waiting.drain(..) {
            // Nobody waits for it any more, and it was not begun.
            if job.reply.is_closed() {
                continue;
            }
            if bytes > 0 && bytes + job.packed.bytes > KEPT_BYTES {
                writer.append(std::mem::take(&mut group)).await;
                bytes = 0;
            }
            bytes += job.packed.bytes;
            group.push(job);
        }
        if !group.is_empty() {
            writer.append(group).await;
        }
    }
}

/// Who appends for this handle.
struct Writer {
    shared: Arc<Shared>,
    /// The ring for the next append, and when it was seen.
    seen: Option<(Target, Instant)>,
    /// The ring whose turn it is.
    turn: Option<u32>,
}

impl Writer {
    async fn append(&mut self, group: Vec<Job>) {
        let packed = group.iter().flat_map(|job| &job.packed.entries);
        let entries: Vec<_> = packed.cloned().collect();
        match self.write(&entries).await {
            Ok(positions) => {
                let mut positions = positions.into_iter();
                for job in group {
                    let own = positions.by_ref().take(job.packed.entries.len()).collect();
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

    /// Commits the entries in one step, to whichever ring nobody else writes to. That a ring has changed is no failure, and
    /// another is tried; whatever else happens ends it.
    async fn write(&mut self, entries: &[Bytes]) -> Result<Vec<Position>, Error> {
        let limit = self.shared.settings.write_timeout;
        let began = Instant::now();
        let mut target = match self.seen.take() {
            Some((target, seen)) if seen.elapsed() < FRESH => target,
            _ => self.look(limit).await?,
        };
        let keys = &self.shared.keys;
        for round in 0.. {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            let (id, another) = (rand::random(), target.another());
            let mut operations = target.operations(keys, id, entries);
            operations.push(look_at(keys, target.following()));
            let txn = Txn::new()
                .when(target.compares(keys))
                .and_then(operations)
                .or_else(Target::look_elsewhere(keys, another));
            let response = self.shared.txn(OPERATION, left, txn).await?;
            let mut answer = Answer::of(OPERATION, keys, &response)?;
            if response.succeeded() {
                let appended = target.appended(answer.cluster, answer.revision, id);
                self.shared.unread.acknowledged(appended);
                let (positions, next) = target.committed(&mut answer, id, entries.len());
                self.turn = Some(next.number());
                self.seen = Some((next, Instant::now()));
                return Ok(positions);
            }
            target = Target::in_answer(OPERATION, &mut answer, another)?;
            self.shared.learn(*target.known());
            step_aside(round).await;
        }
        Err(crowded(OPERATION, limit))
    }

    /// Sees the ring whose turn it is; a random one at first, since others have theirs.
    async fn look(&mut self, limit: Duration) -> Result<Target, Error> {
        let rings = match self.shared.known() {
            Some(known) => known.meta.rings,
            None => {
                let head = self.shared.look(OPERATION, limit).await?;
                head.meta.rings
            }
        };
        let turn = self.turn.filter(|turn| *turn < rings);
        let number = turn.unwrap_or_else(|| rand::random_range(0..rings));
        self.shared.target(OPERATION, limit, number).await
    }
}
