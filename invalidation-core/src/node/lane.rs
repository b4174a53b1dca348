//! The publisher: one lane for each transport, from its outbox to the wire.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{outbox::Outbox, receipt::LaneReport, shared::Shared, supervise::Task};
use crate::{
    error::{Error, ErrorKind},
    frame::{Envelope, Message, encode, pack},
    observe,
    transport::{Delivery, Outgoing, SharedTransport},
};

/// How many batches may be on their way at once; more wait in the outbox, and travel together.
const IN_FLIGHT: usize = 1_024;
/// How often a node without a log tells its head sequence, so that a lost tail is found.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// One transport with its outbox.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: &'static str,
    pub(super) transport: SharedTransport,
    pub(super) outbox: Outbox,
    /// Cancelled when the node ends: publish what waits, say farewell, stop.
    pub(super) draining: CancellationToken,
}

/// Stamps and sends what its lane's outbox holds. One task; it owns the sequence.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    /// The sequence of the last frame. Dense, for this origin over this transport.
    sequence: u64,
}

impl Task for Publisher {
    const NAME: &'static str = "publisher";

    async fn run(&mut self) {
        let mut in_flight = FuturesUnordered::new();
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lane = self.lane.clone();
        let heartbeats = !self.shared.has_log();
        loop {
            while in_flight.len() < IN_FLIGHT
                && let Some(batch) = lane.outbox.take()
            {
                in_flight.push(self.send(batch));
            }
            tokio::select! {
                biased;
                Some(()) = in_flight.next() => {}
                () = lane.outbox.filled(), if in_flight.len() < IN_FLIGHT => {}
                _ = heartbeat.tick(), if heartbeats => in_flight.push(self.tell_head(Message::Heartbeat)),
                () = lane.draining.cancelled(), if in_flight.is_empty() => break,
            }
        }
        self.tell_head(Message::Farewell).await;
    }
}

impl Publisher {
    pub(super) const fn new(shared: Arc<Shared>, lane: Arc<Lane>) -> Self {
        Self {
            shared,
            lane,
            sequence: 0,
        }
    }

    /// Stamps the frames of a batch now, in order; the future sends them and reports.
    fn send(&mut self, batch: super::outbox::Batch) -> BoxFuture<'static, ()> {
        let max_frame = self.lane.transport.capabilities().max_frame;
        let limit = self.shared.settings.publish_timeout;
        let mut sending = Vec::new();
        for carried in pack(batch.carried, max_frame, &self.shared.cluster) {
            self.sequence += 1;
            let mut frame = Outgoing::to_all(self.frame(Message::Invalidations(carried)));
            frame.want_ack = batch.want_ack;
            sending.push(publish(self.lane.clone(), frame, limit));
        }
        let reports = batch.reports;
        Box::pin(async move {
            let report: LaneReport = join_all(sending)
                .await
                .into_iter()
                .map(|result| result.map_err(Arc::new))
                .collect();
            for wanted in reports {
                // Whoever dropped the receipt does not care.
                let _ = wanted.send(report.clone());
            }
        })
    }

    /// Says how far this origin has got. A lost one is made good by the next.
    fn tell_head(&self, message: Message) -> BoxFuture<'static, ()> {
        let frame = Outgoing::to_all(self.frame(message));
        let (lane, limit) = (self.lane.clone(), self.shared.settings.publish_timeout);
        Box::pin(async move {
            if let Err(error) = publish(lane.clone(), frame, limit).await {
                tracing::debug!(%error, transport = lane.name, "a heartbeat was not sent");
            }
        })
    }

    fn frame(&self, message: Message) -> bytes::Bytes {
        encode(&Envelope {
            cluster: self.shared.cluster.clone(),
            origin: self.shared.id,
            sequence: self.sequence,
            message,
        })
    }
}

impl Drop for Publisher {
    /// It outlives a panic of its task, so that this is the end of its node.
    fn drop(&mut self) {
        self.lane.outbox.close();
    }
}

/// One attempt under a time limit, counted.
async fn publish(lane: Arc<Lane>, frame: Outgoing, limit: Duration) -> Result<Delivery, Error> {
    let started = Instant::now();
    // A transport keeps its own limit; this one is for a transport that does not.
    let result = match timeout(
        limit.saturating_add(limit / 4),
        lane.transport.publish(frame),
    )
    .await
    {
        Ok(result) => result,
        Err(_) => {
            let message = format!("no answer within {limit:?}");
            Err(Error::new(
                ErrorKind::TimedOut,
                lane.name,
                "publish",
                message,
            ))
        }
    };
    let outcome = match &result {
        Ok(delivery) if delivery.peers.iter().all(|peer| peer.result.is_ok()) => "ok",
        Ok(_) => "partial",
        Err(_) => "error",
    };
    observe::published(lane.name, outcome, started.elapsed());
    result
}
