//! What is sent: one task puts all that waits as one value, one put at a time, which keeps the order.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use invalidation_core::{Error, NodeId};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{builder::Settings, value::Writer};
use crate::{
    error::{closed, duplicate, timed_out},
    server::Link,
};

/// How many frames may wait; who has one more waits for room, within its own time.
const QUEUE: usize = 1_024;
/// For how many times what a loss is noticed in a session lies idle before it is tried, so that one whose token expired, or
/// which a firewall forgot, fails no frame: the server's tokens live for five minutes after their last use.
const IDLE: u32 = 3;

/// The callers' side of the task.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Waiting>,
    limit: Duration,
}

#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    deadline: Instant,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl Outbox {
    /// An outbox, and its task.
    pub(super) fn new(
        settings: Arc<Settings>,
        link: Arc<Link>,
        node: Arc<OnceLock<NodeId>>,
    ) -> (Self, Courier) {
        let (frames, incoming) = mpsc::channel(QUEUE);
        let outbox = Self {
            frames,
            limit: settings.publish_timeout,
        };
        let courier = Courier {
            incoming,
            waiting: VecDeque::new(),
            settings,
            link,
            node,
        };
        (outbox, courier)
    }

    /// Sends a frame, in one attempt.
    pub(super) async fn publish(&self, bytes: Bytes) -> Result<(), Error> {
        const OPERATION: &str = "publish";
        let deadline = Instant::now() + self.limit;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            bytes,
            deadline,
            reply,
        };
        let answered = async {
            self.frames.send(waiting).await.ok()?;
            answer.await.ok()
        };
        match timeout_at(deadline, answered).await {
            Ok(Some(result)) => result,
            Ok(None) => Err(closed(OPERATION)),
            Err(_) => Err(timed_out(OPERATION, self.limit)),
        }
    }
}

/// The task.
pub(super) struct Courier {
    incoming: mpsc::Receiver<Waiting>,
    /// What was received and not sent yet.
    waiting: VecDeque<Waiting>,
    settings: Arc<Settings>,
    link: Arc<Link>,
    node: Arc<OnceLock<NodeId>>,
}

impl Courier {
    /// Works until the transport is closed; what waits then is told so.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        tokio::select! {
            biased;
            () = closing.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        loop {
            if self.waiting.is_empty() {
                tokio::select! {
                    biased;
                    received = self.incoming.recv() => match received {
                        Some(waiting) => self.waiting.push_back(waiting),
                        None => return,
                    },
                    // A frame does not wait for that.
                    () = keep_alive(&self.link, &self.settings) => continue,
                }
            }
            // What came while the last put was under way. The rest waits where it has a bound.
            while self.waiting.len() < QUEUE
                && let Ok(waiting) = self.incoming.try_recv()
            {
                self.waiting.push_back(waiting);
            }
            self.send().await;
        }
    }

    /// Sends what fits into one value, without those whose caller has gone or timed out.
    async fn send(&mut self) {
        let limit = self.settings.publish_timeout;
        let node = *self.node.get_or_init(NodeId::random);
        let mut writer = Writer::of(node);
        let mut sending = Vec::new();
        let mut last = Instant::now();
        while let Some(next) = self.waiting.pop_front() {
            if next.reply.is_closed() || next.deadline <= Instant::now() {
                let _ = next.reply.send(Err(timed_out("publish", limit)));
                continue;
            }
            if !writer.has_room(&next.bytes) {
                self.waiting.push_front(next);
                break;
            }
            writer.push(&next.bytes);
            last = last.max(next.deadline);
            sending.push(next.reply);
        }
        if sending.is_empty() {
            return;
        }
        let sent = self.put(writer.finish(), last).await;
        for reply in sending {
            // One that gave up meanwhile has told its caller so.
            let _ = reply.send(match &sent {
                Ok(()) => Ok(()),
                Err(error) => Err(duplicate(error)),
            });
        }
    }

    async fn put(&self, value: Vec<u8>, until: Instant) -> Result<(), Error> {
        let key = self.settings.key.as_str();
        let limit = until.saturating_duration_since(Instant::now());
        self.link
            .call_unless_refused("publish", limit, move |session| async move {
                session.kv().put(key, value, None).await.map(drop)
            })
            .await
    }
}

/// After a pause, replaces a session that does not serve any more.
async fn keep_alive(link: &Link, settings: &Settings) {
    sleep(settings.notices_loss_within * IDLE).await;
    if link.has_session() {
        // Why it failed, a frame will be told.
        let _ = super::ask(link, "probe", settings.publish_timeout, &settings.key).await;
    }
}
