//! The receiver: one for each transport; decodes, detects gaps, applies.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    lane::Lane,
    origins::Origins,
    shared::Shared,
    supervise::{Task, pauses},
};
use crate::{
    error::{Error, ErrorKind},
    frame::{Message, decode},
    observe,
    transport::{Frame, Signal, Subscription},
    words::GapReason,
};

/// The longest pause between two attempts to subscribe.
const RETRY: Duration = Duration::from_secs(2);
/// How often holes and silences are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Listens on one transport. One task; it owns what is known of each origin.
pub(super) struct Receiver {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    origins: Origins,
    /// The subscription made at start, before the first entry could be cached.
    first: Option<Subscription>,
}

impl Task for Receiver {
    const NAME: &'static str = "receiver";

    async fn run(&mut self) {
        loop {
            let subscription = match self.first.take() {
                Some(subscription) => subscription,
                None => {
                    let subscription = self.subscribe_again().await;
                    // Only now: a gap told before the link is live would miss what is sent meanwhile (P10).
                    self.shared.gap(self.lane.name, GapReason::LinkLost);
                    subscription
                }
            };
            self.listen(subscription).await;
            observe::subscription(self.lane.name, "lost");
        }
    }
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>, lane: Arc<Lane>, first: Option<Subscription>) -> Self {
        Self {
            shared,
            lane,
            origins: Origins::default(),
            first,
        }
    }

    async fn subscribe_again(&mut self) -> Subscription {
        let mut pauses = pauses(RETRY);
        let limit = self.shared.settings.start_timeout;
        loop {
            match timeout(limit, self.lane.transport.subscribe()).await {
                Ok(Ok(subscription)) => {
                    observe::subscription(self.lane.name, "subscribed");
                    return subscription;
                }
                Ok(Err(error)) => self.failed(&error),
                // A connection that is never refused and never made, such as to a paused server.
                Err(_) => {
                    let message = format!("no answer within {limit:?}");
                    let name = self.lane.name;
                    self.failed(&Error::new(ErrorKind::TimedOut, name, "subscribe", message));
                }
            }
            tokio::time::sleep(pauses.next().unwrap_or(RETRY)).await;
        }
    }

    async fn listen(&mut self, mut subscription: Subscription) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence_is_a_gap = !self.shared.has_log();
        loop {
            // Holes are looked for only while there is somebody to have holes, so that an idle node sleeps.
            let watching = self.origins.waits() || (silence_is_a_gap && !self.origins.is_empty());
            tokio::select! {
                signal = subscription.next() => match signal {
                    Some(Ok(signal)) => self.hear(signal),
                    Some(Err(error)) => return self.failed(&error),
                    None => return,
                },
                _ = look.tick(), if watching => {
                    let now = Instant::now();
                    let mut gap = self.origins.overdue(now);
                    if silence_is_a_gap {
                        gap = gap.or_else(|| self.origins.silent(now));
                    }
                    self.tell(gap);
                }
            }
        }
    }

    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Frame(frame) => self.frame(frame),
            Signal::Gap(reason) => self.shared.gap(self.lane.name, reason),
            Signal::Nudge => self.shared.lease.nudge(),
        }
    }

    fn frame(&mut self, frame: Frame) {
        let envelope = match decode(&frame.bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(%error, transport = self.lane.name, "a frame could not be decoded");
                return self.shared.gap(self.lane.name, GapReason::FrameUnreadable);
            }
        };
        if envelope.cluster != self.shared.cluster {
            return observe::dropped("other_cluster");
        }
        if envelope.origin == self.shared.id {
            return; // An echo: applied before it was sent.
        }
        let (origin, sequence, now) = (envelope.origin, envelope.sequence, Instant::now());
        let mut applied = true;
        let gap = match envelope.message {
            Message::Invalidations(carried) => {
                applied = self.shared.applier.apply_frame(&carried, frame.sender);
                self.origins.frame(origin, sequence, now)
            }
            Message::Heartbeat => self.origins.heartbeat(origin, sequence, now),
            Message::Farewell => self.origins.farewell(origin, sequence),
        };
        self.tell(gap);
        if let Some(ack) = frame.ack
            && applied
        {
            ack.applied();
        }
    }

    fn tell(&self, gap: Option<GapReason>) {
        if let Some(reason) = gap {
            self.shared.gap(self.lane.name, reason);
        }
    }

    fn failed(&self, error: &Error) {
        observe::subscription(self.lane.name, "failed");
        tracing::warn!(%error, transport = self.lane.name, "not subscribed; trying again");
    }
}
