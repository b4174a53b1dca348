//! Frames under way while something breaks: who publishes them, and who follows them across subscriptions.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::Outgoing;
use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::Instant};

use super::{
    Member,
    listening::{Heard, Listener, list},
    publishing::failures,
};
use crate::wait::eventually;

/// A frame, and when its publishing began.
pub(super) type Sent = (Bytes, Instant);

/// Publishes numbers, one after another.
pub(super) struct Publisher {
    record: Arc<Mutex<Published>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Published {
    /// Those whose call succeeded, though a peer may have failed: who is known is to be told.
    sent: Vec<Sent>,
    /// When a failure was last told, of a call or of a peer.
    failed: Option<Instant>,
    /// When the last one began that has ended.
    ended: Option<Instant>,
    stopping: bool,
}

impl Publisher {
    pub(super) fn start(member: Member) -> Self {
        Self::start_with(member, "frame")
    }

    /// With this before each number.
    pub(super) fn start_with(member: Member, word: &'static str) -> Self {
        let record = Arc::<Mutex<Published>>::default();
        let task = tokio::spawn(publish_on(member, word, Arc::clone(&record)));
        Self { record, task }
    }

    /// Waits for a failure that is told after `since`. Cancel-safe.
    pub(super) async fn told_of_a_failure(&self, since: Instant) {
        while self.record.lock().failed.is_none_or(|at| at < since) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for the end of one that began after `since`, however it ends. Cancel-safe.
    pub(super) async fn ended_one_of(&self, since: Instant) {
        while self.record.lock().ended.is_none_or(|began| began < since) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the last one end. What was sent after `since`.
    pub(super) async fn stop(mut self, since: Instant) -> Vec<Sent> {
        self.record.lock().stopping = true;
        (&mut self.task).await.expect("publishes");
        let mut sent = std::mem::take(&mut self.record.lock().sent);
        sent.retain(|(_, began)| *began > since);
        sent
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn publish_on(member: Member, word: &'static str, record: Arc<Mutex<Published>>) {
    for n in 0_u64.. {
        if record.lock().stopping {
            return;
        }
        let (bytes, began) = (Bytes::from(format!("{word} {n}")), Instant::now());
        let published = member
            .transport
            .publish(Outgoing::to_all(bytes.clone()))
            .await;
        let succeeded = published.is_ok();
        let failed = !failures(published).is_empty();
        {
            let mut record = record.lock();
            record.ended = Some(began);
            record.sent.extend(succeeded.then_some((bytes, began)));
            if failed {
                record.failed = Some(Instant::now());
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Reads one member's subscriptions as a node does: after the end of one it makes another.
pub(super) struct Follower {
    heard: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    frames: BTreeSet<Bytes>,
    /// When it was told, after each of which a node catches up.
    losses: Vec<(Instant, String)>,
    /// When the last subscription ended, which a node takes for a gap once it is subscribed again.
    ended: Option<Instant>,
    subscribed: Option<Instant>,
}

impl Follower {
    pub(super) fn start(member: Member) -> Self {
        let heard = Arc::<Mutex<Record>>::default();
        let task = tokio::spawn(follow(member, Arc::clone(&heard)));
        Self { heard, task }
    }

    /// When it was first subscribed.
    pub(super) async fn subscribed(&self) -> Instant {
        eventually!("the node subscribes", self.heard.lock().subscribed)
    }

    /// Waits for a frame from now on.
    pub(super) async fn hears_something(&self) {
        let before = self.heard.lock().frames.len();
        eventually!(
            "frames arrive (again)",
            (self.heard.lock().frames.len() > before).then_some(())
        );
    }

    /// Waits for a gap or an end that is told after `since`. Cancel-safe.
    pub(super) async fn told_of_a_loss(&self, since: Instant) {
        let told = || {
            let heard = self.heard.lock();
            let gaps = heard.losses.iter().map(|(at, _)| *at);
            gaps.chain(heard.ended).any(|at| at >= since)
        };
        while !told() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Each of these arrives, or a loss is told after it was published.
    pub(super) async fn heard_all(&self, sent: &[Sent]) {
        let deadline = Instant::now() + crate::wait::PATIENCE;
        loop {
            let missing = self.missing(sent);
            if missing.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                let losses = self.heard.lock().losses.clone();
                let told: Vec<_> = losses.into_iter().map(|(_, loss)| loss).collect();
                panic!(
                    "expected each of {} frames to arrive, or a gap or an end to be told after it was published; missing \
                     without a word: {}; told in all: [{}]",
                    sent.len(),
                    list(missing.iter()),
                    told.join(", ")
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn missing(&self, sent: &[Sent]) -> Vec<Bytes> {
        let heard = self.heard.lock();
        let last_loss = heard.losses.iter().map(|(at, _)| *at).max();
        let missing = sent.iter().filter(|(bytes, began)| {
            !heard.frames.contains(bytes) && last_loss.is_none_or(|loss| loss < *began)
        });
        missing.map(|(bytes, _)| bytes.clone()).collect()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(member: Member, heard: Arc<Mutex<Record>>) {
    let mut ended = None;
    loop {
        let Ok(subscription) = member.transport.subscribe().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        {
            let mut heard = heard.lock();
            heard.subscribed.get_or_insert_with(Instant::now);
            // A gap after it is subscribed again, as the node takes it.
            heard
                .losses
                .extend(ended.take().map(|end| (Instant::now(), end)));
        }
        let mut listener = Listener::on(&member, subscription);
        loop {
            match listener.hear().await {
                Heard::Frame(frame) => {
                    heard.lock().frames.insert(frame.bytes);
                }
                Heard::Gap(gap) => heard.lock().losses.push((Instant::now(), gap)),
                Heard::End(end) => {
                    heard.lock().ended = Some(Instant::now());
                    ended = Some(end);
                    break;
                }
            }
        }
        // A backend that ends each subscription at once is not asked in a circle.
        tokio::task::yield_now().await;
    }
}
