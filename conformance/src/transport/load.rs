//! What breaks under load: each frame is delivered, or the subscriber is told that it may have missed some.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::Outgoing;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::{task::JoinHandle, time::Instant};

use super::{
    Member, TransportHarness,
    listening::{Heard, Listener, list},
};
use crate::{Disruption, Unable, seed, wait::eventually};

/// A frame, and when its publishing began.
type Sent = (Bytes, Instant);

/// While links are cut and heal, each frame that was sent arrives, or a gap or an end is told.
pub(crate) async fn a_cut_link_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    breaks_under_load(harness, seed, [Disruption::Cut, Disruption::Heal]).await
}

/// While the server is killed and started again, each frame that was sent arrives, or a gap or an end is told.
pub(crate) async fn a_restarted_server_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    breaks_under_load(harness, seed, [Disruption::Kill, Disruption::Restart]).await
}

/// A node that is killed and started again receives each frame published after it subscribed, or is told of a gap.
pub(crate) async fn a_restarted_node_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let mut cluster = harness.cluster(2).await?;
    let first = cluster
        .give_away()
        .ok_or_else(|| Unable::because("the harness does not give its nodes away"))?;
    let publisher = Publisher::start(cluster.members()[0].clone());
    let follower = Follower::start(first.clone());
    follower.hears_something().await;
    drop(follower);
    drop(first);
    let mut random = seed::random(seed);
    tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
    let again = cluster.rejoin().await?;
    let follower = Follower::start(again);
    let since = follower.subscribed().await;
    follower.hears_something().await;
    let sent = publisher.stop().await;
    let sent: Vec<_> = sent.into_iter().filter(|(_, at)| *at > since).collect();
    follower.heard_all(&sent).await;
    Ok(())
}

async fn breaks_under_load(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
    [breaks, mends]: [Disruption; 2],
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let mut random = seed::random(seed);
    let follower = Follower::start(cluster.members()[1].clone());
    let since = follower.subscribed().await;
    let publisher = Publisher::start(cluster.members()[0].clone());
    for _ in 0..3 {
        follower.hears_something().await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        cluster.disrupt(1, breaks).await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        cluster.disrupt(1, mends).await?;
    }
    follower.hears_something().await;
    let sent = publisher.stop().await;
    let sent: Vec<_> = sent.into_iter().filter(|(_, at)| *at > since).collect();
    follower.heard_all(&sent).await;
    Ok(())
}

/// Publishes numbers, one after another.
struct Publisher {
    /// Those whose call succeeded, though a peer may have failed: who is known is to be told.
    sent: Arc<Mutex<Vec<Sent>>>,
    stopping: Arc<Mutex<bool>>,
    task: JoinHandle<()>,
}

impl Publisher {
    fn start(member: Member) -> Self {
        let sent = Arc::<Mutex<Vec<Sent>>>::default();
        let stopping = Arc::<Mutex<bool>>::default();
        let task = tokio::spawn({
            let (sent, stopping) = (Arc::clone(&sent), Arc::clone(&stopping));
            async move {
                for n in 0_u64.. {
                    if *stopping.lock() {
                        return;
                    }
                    let (bytes, began) = (Bytes::from(format!("frame {n}")), Instant::now());
                    let frame = Outgoing::to_all(bytes.clone());
                    if member.transport.publish(frame).await.is_ok() {
                        sent.lock().push((bytes, began));
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        Self {
            sent,
            stopping,
            task,
        }
    }

    /// Lets the last one end. What was sent.
    async fn stop(mut self) -> Vec<Sent> {
        *self.stopping.lock() = true;
        (&mut self.task).await.expect("publishes");
        std::mem::take(&mut self.sent.lock())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one member's subscriptions as a node does: after the end of one it makes another.
struct Follower {
    heard: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    frames: BTreeSet<Bytes>,
    /// When it was told, after each of which a node catches up.
    losses: Vec<(Instant, String)>,
    subscribed: Option<Instant>,
}

impl Follower {
    fn start(member: Member) -> Self {
        let heard = Arc::<Mutex<Record>>::default();
        let task = tokio::spawn(follow(member, Arc::clone(&heard)));
        Self { heard, task }
    }

    /// When it was first subscribed.
    async fn subscribed(&self) -> Instant {
        eventually!("the node subscribes", self.heard.lock().subscribed)
    }

    /// Waits for a frame from now on.
    async fn hears_something(&self) {
        let before = self.heard.lock().frames.len();
        eventually!(
            "frames arrive (again)",
            (self.heard.lock().frames.len() > before).then_some(())
        );
    }

    /// Each of these arrives, or a loss is told after it was published.
    async fn heard_all(&self, sent: &[Sent]) {
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
                    ended = Some(end);
                    break;
                }
            }
        }
    }
}
