//! One peer: its queue, and the task that empties it.

use std::{sync::Arc, time::Duration};

use invalidation_core::{Error, ErrorKind, NodeId, Retry};
use metrics::counter;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    breaker::Breaker,
    builder::Settings,
    connect::Endpoint,
    exchange::{Exchange, Failure},
    peer_queue::{Outcome, PeerQueue, Queued, Reply, Take, fail},
    wire::{Item, ItemOutcome},
};

/// A connection that lasted this long and then ended is made anew at once; a shorter one only after the
/// breaker's wait, so that a peer which hangs up on everybody is not called in a circle.
const STEADY: Duration = Duration::from_secs(1);

/// After this many signs of life without need, look whether a peer that is this node still is.
const SELF_CHECK: u32 = 6;

/// A peer, as the publisher sees it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// As configured or discovered.
    pub(crate) name: String,
    pub(crate) queue: PeerQueue,
    /// Who answered the last hello.
    node: Mutex<Option<NodeId>>,
    /// Ends the task.
    pub(crate) stop: CancellationToken,
}

impl Peer {
    pub(crate) fn new(
        name: String,
        settings: &Settings,
        owes_resync: bool,
        stop: CancellationToken,
    ) -> Self {
        Self {
            name,
            queue: PeerQueue::new(
                settings.queue_frames,
                settings.max_buffered_bytes(),
                owes_resync,
            ),
            node: Mutex::new(None),
            stop,
        }
    }

    /// Who answered the last hello.
    pub(crate) fn node(&self) -> Option<NodeId> {
        *self.node.lock()
    }
}

/// Runs until the peer is stopped.
pub(crate) async fn run(
    peer: Arc<Peer>,
    endpoint: Endpoint,
    settings: Arc<Settings>,
    node: NodeId,
) {
    let (first, longest) = settings.reconnect_wait;
    let stop = peer.stop.clone();
    let mut task = PeerTask {
        exchange: Exchange::new(settings.clone(), node, endpoint),
        breaker: Breaker::new(first, longest),
        own: node,
        resync_at: Instant::now(),
        greeted_at: None,
        talked: false,
        told: None,
        settings,
        peer,
    };
    stop.run_until_cancelled(task.work()).await;
    let gone = Error::new(
        ErrorKind::Closed,
        "http",
        "publish",
        "the transport was closed, or the peer is no longer discovered",
    );
    task.peer.queue.refuse(Err(Arc::new(gone)));
}

struct PeerTask {
    peer: Arc<Peer>,
    settings: Arc<Settings>,
    /// This node.
    own: NodeId,
    exchange: Exchange,
    breaker: Breaker,
    /// No resync is sent before: they are rate-limited.
    resync_at: Instant,
    /// Since when the conversation has been going well.
    greeted_at: Option<Instant>,
    /// Whether anything was sent since the last sign of life.
    talked: bool,
    /// The kind of the failure that the log was told of; `None` while all is well.
    told: Option<ErrorKind>,
}

/// Why the conversation stopped.
enum Stopped {
    /// The peer is this node.
    Itself,
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What to do next.
enum Next {
    Send,
    Reconnect,
    SignOfLife,
}

impl PeerTask {
    async fn work(&mut self) {
        loop {
            match self.converse().await {
                Ok(never) => match never {},
                Err(Stopped::Itself) => {
                    // Known by its signed answer: an own address in the list costs nothing.
                    self.exchange.disconnect();
                    self.peer.queue.refuse(Ok(Reply::Itself));
                    sleep(self.settings.sign_of_life * SELF_CHECK).await;
                }
                Err(Stopped::Failed(failure)) => self.back_off(failure).await,
            }
        }
    }

    async fn back_off(&mut self, failure: Failure) {
        if !failure.keeps_link() {
            self.exchange.disconnect();
        }
        let steady = self
            .greeted_at
            .take()
            .is_some_and(|since| since.elapsed() >= STEADY);
        if failure.wants_hello() && steady {
            return;
        }
        let cause = failure.error("publish");
        self.tell(&cause);
        // A misconfiguration stays one, and is reported as such.
        let kind = match cause.kind {
            ErrorKind::TimedOut => ErrorKind::Unavailable,
            kind => kind,
        };
        let error = Error::new(
            kind,
            "http",
            "publish",
            format!(
                "not sent, since the last attempt failed ({}); the peer is tried again by itself, and then \
                 told to resync",
                cause.message
            ),
        )
        .with_retry(Retry::Temporary);
        self.peer.queue.refuse(Err(Arc::new(error)));
        sleep(self.breaker.failed()).await;
    }

    /// Once for each outage and kind: a wrong secret or address looks like a working cache, only slower, and
    /// nobody would look for it; a peer that is merely away is no news at each attempt.
    fn tell(&mut self, cause: &Error) {
        let peer = &self.peer.name;
        let news = self.told.replace(cause.kind) != Some(cause.kind);
        match cause.kind {
            _ if !news => tracing::debug!(peer, %cause, "peer fails"),
            ErrorKind::Unavailable | ErrorKind::TimedOut => {
                tracing::info!(peer, %cause, "peer fails; it is tried again by itself");
            }
            _ => tracing::warn!(peer, %cause, "peer is not reached as it is configured"),
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, Stopped> {
        if !self.exchange.is_open() {
            self.hello().await?;
        }
        if self.peer.queue.is_refusing() && self.peer.queue.owes_resync() {
            // The breaker stays open until the peer took it: that is the test whether it is back.
            self.send(true).await?;
        }
        self.peer.queue.accept();
        self.breaker.succeeded();
        if self.told.take().is_some() {
            tracing::info!(peer = %self.peer.name, "peer is back");
        }
        self.greeted_at.get_or_insert_with(Instant::now);

        let mut signs_of_life = interval(self.settings.sign_of_life);
        signs_of_life.set_missed_tick_behavior(MissedTickBehavior::Delay);
        signs_of_life.reset();
        loop {
            let next = tokio::select! {
                biased;
                () = self.peer.queue.ready(self.resync_at) => Next::Send,
                () = self.exchange.ended() => Next::Reconnect,
                _ = signs_of_life.tick() => Next::SignOfLife,
            };
            match next {
                Next::Send => self.send(Instant::now() >= self.resync_at).await?,
                Next::Reconnect => {
                    let closed = "the peer closed the connection".into();
                    return Err(Failure::Unreachable(closed).into());
                }
                // Finds a black hole or a restart on an idle link, and keeps the peer from hanging up.
                Next::SignOfLife if !std::mem::take(&mut self.talked) => self.hello().await?,
                Next::SignOfLife => {}
            }
        }
    }

    async fn hello(&mut self) -> Result<(), Stopped> {
        let node = self.exchange.hello().await?;
        let known = self.peer.node.lock().replace(node);
        if node == self.own {
            return Err(Stopped::Itself);
        }
        if known.is_some_and(|known| known != node) {
            // Another run of that process: what was sent to the earlier one may be lost.
            tracing::debug!(peer = %self.peer.name, %node, "peer restarted");
            self.peer.queue.owe_resync();
        }
        Ok(())
    }

    async fn send(&mut self, with_resync: bool) -> Result<(), Failure> {
        let Take { frames, resync } = self
            .peer
            .queue
            .take(self.settings.max_payload(), with_resync);
        if frames.is_empty() && !resync {
            return Ok(());
        }
        if resync {
            counter!("cache_invalidation_http_resyncs_total", "direction" => "sent").increment(1);
            self.resync_at = Instant::now() + self.settings.resync_interval;
        }
        let items = resync
            .then_some(Item::Resync)
            .into_iter()
            .chain(frames.iter().map(|frame| Item::Frame {
                bytes: frame.bytes.clone(),
                want_ack: frame.want_ack,
            }))
            .collect();
        self.talked = true;
        match self.exchange.send(items).await {
            Ok(outcomes) => {
                let outcomes = outcomes.into_iter().skip(usize::from(resync));
                for (Queued { answer, .. }, outcome) in frames.into_iter().zip(outcomes) {
                    let _ = answer.send(outcome_of(outcome));
                }
                Ok(())
            }
            Err(failure) => {
                // Sent once, and never again: what it may have missed the peer is told to read (P1 rests on
                // the log, never on this).
                self.peer.queue.owe_resync();
                fail(frames, &Arc::new(failure.error("publish")));
                Err(failure)
            }
        }
    }
}

fn outcome_of(outcome: ItemOutcome) -> Outcome {
    match outcome {
        ItemOutcome::Received => Ok(Reply::Received),
        ItemOutcome::Applied => Ok(Reply::Applied),
        ItemOutcome::Overflowed => Err(Arc::new(
            Error::new(
                ErrorKind::TooLarge,
                "http",
                "publish",
                "the peer's subscription was full: the frame was dropped there, and a gap reported",
            )
            .with_retry(Retry::Temporary),
        )),
    }
}
