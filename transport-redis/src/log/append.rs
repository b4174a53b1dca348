//! Appends: concurrent callers are grouped into one script.

use std::sync::Arc;

use invalidation_core::{Entry, Error, ErrorKind, Position};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    Shared,
    cursor::{Identity, Place, random},
    page::Known,
    reply::{Reply, VERSION},
    rows::{encode, size},
    scripts::{APPEND, Arguments},
    slot::bounded,
};
use crate::error::{duplicate, error};

const OPERATION: &str = "append";

/// How many callers may wait; one more waits for a place.
const QUEUE: usize = 1_024;

/// How many callers share one script.
const GROUP: usize = 256;

/// The most bytes of keys and tags of one entry. The oldest and the newest row are looked at by every read.
const MAX_ENTRY: usize = 1 << 20;

/// The most entries of one append, and of a group of several: the server does nothing else meanwhile.
const MAX_ENTRIES: usize = 10_000;
const GROUP_ENTRIES: usize = 1_000;

/// And the most bytes.
const MAX_BYTES: usize = 32 << 20;
const GROUP_BYTES: usize = 1 << 20;

/// The callers' side of the task that appends.
#[derive(Debug)]
pub(crate) struct Appender {
    /// `None` once the log is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Job {
    entries: Vec<Entry>,
    bytes: usize,
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

    /// Appends `entries`. The script runs from the task, so a caller that goes away takes no other's with it.
    pub(crate) async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = check_size(OPERATION, entries)?;
        let sender = self.jobs.lock().clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            entries: entries.to_vec(),
            bytes,
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
    super::closed(OPERATION)
}

/// Refuses what is too large for one script; else how many bytes it has.
pub(crate) fn check_size(operation: &'static str, entries: &[Entry]) -> Result<usize, Error> {
    let sizes = || entries.iter().map(size);
    let (largest, bytes) = (sizes().max().unwrap_or_default(), sizes().sum());
    let why = if largest > MAX_ENTRY {
        format!("{largest} bytes of keys and tags in one entry are more than {MAX_ENTRY}")
    } else if entries.len() > MAX_ENTRIES {
        format!("{} entries are more than {MAX_ENTRIES}", entries.len())
    } else if bytes > MAX_BYTES {
        format!("{bytes} bytes of keys and tags are more than {MAX_BYTES}")
    } else {
        return Ok(bytes);
    };
    let message = format!("{why}: append fewer at a time, or clear the cache");
    Err(error(ErrorKind::TooLarge, operation, message))
}

async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut waiting = Vec::new();
    while jobs.recv_many(&mut waiting, GROUP).await > 0 {
        // Nobody waits for these any more, and none of them was begun.
        waiting.retain(|job: &Job| !job.reply.is_closed());
        let mut group = Vec::new();
        let (mut entries, mut bytes) = (0, 0);
        for job in waiting.drain(..) {
            entries += job.entries.len();
            bytes += job.bytes;
            if !group.is_empty() && (entries > GROUP_ENTRIES || bytes > GROUP_BYTES) {
                append_group(&shared, std::mem::take(&mut group)).await;
                (entries, bytes) = (job.entries.len(), job.bytes);
            }
            group.push(job);
        }
        if !group.is_empty() {
            append_group(&shared, group).await;
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
        // Whatever the server refuses it refuses before the first row, for all of them: nothing depends on what they hold.
        Err(e) => {
            for job in group {
                let _gone = job.reply.send(Err(duplicate(&e)));
            }
        }
    }
}

async fn append(shared: &Shared, group: &[Job]) -> Result<Vec<Position>, Error> {
    let settings = &shared.settings;
    let entries = || group.iter().flat_map(|job| &job.entries);
    let mut slot = shared.writer.lock().await;
    // Queued before the log was closed: it must not connect again.
    shared.check_open(OPERATION)?;
    let known = shared.known();
    let mut arguments = Arguments::default()
        .and(VERSION.to_string())
        .and(random())
        .and(settings.max_entries.clone())
        .and_known(known.as_ref());
    for entry in entries() {
        encode(entry, &mut arguments);
    }
    let link = slot.take(OPERATION).await?;
    let reply = APPEND
        .run(OPERATION, &link, &settings.key, &arguments)
        .await?;
    let identity = reply.identity()?;
    let Some(before) = before(&reply) else {
        return Err(spoilt(&settings.key));
    };
    slot.put_unless_moved(link, known, identity);
    drop(slot);
    let word = identity.to_word();
    let positions: Vec<_> = (before + 1..)
        .zip(entries())
        .map(|(number, _)| Place::at(number).to_position(word.clone()))
        .collect();
    learn(shared, identity, before, entries());
    Ok(positions)
}

fn before(reply: &Reply) -> Option<u64> {
    reply.text(5).and_then(|before| before.parse().ok())
}

fn learn<'a>(
    shared: &Shared,
    identity: Identity,
    before: u64,
    entries: impl Iterator<Item = &'a Entry>,
) {
    let last = (before + 1..).zip(entries).last();
    let row = last.map(|(number, entry)| (Place::at(number), entry.nonce.0));
    shared.learn(Known { identity, row });
}

fn spoilt(key: &str) -> Error {
    error(
        ErrorKind::Incompatible,
        OPERATION,
        format!(
            "the ids of {key:?} have been set so high by hand that none is left: delete the key, which every node is told"
        ),
    )
}

impl Arguments {
    /// What the handle knows, as the script of an append takes it.
    fn and_known(self, known: Option<&Known>) -> Self {
        match known {
            None => self.and("").and("").and("").and(""),
            Some(Known { identity, row }) => {
                let (place, nonce) = row.map_or_else(Default::default, |(place, nonce)| {
                    (place.to_string(), nonce.to_string())
                });
                self.and(identity.history())
                    .and(identity.epoch())
                    .and(place)
                    .and(nonce)
            }
        }
    }
}
