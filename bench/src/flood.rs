//! Frames of 1,000 keys each, as fast as a transport carries them to a node that applies them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_invalidation::{
    Cache, Delivery, Entry, Invalidation, MemoryLog, Node, NodeId, Outgoing, PeerOutcome, Scope,
    SharedTransport,
};
use invalidation_core::frame::{Carried, Envelope, Message, Standing, encode};

use crate::setup::{CLUSTER, MAX_STALENESS, TTL};

const ROUNDS: usize = 9;
pub(crate) const FRAMES: u64 = 200;
pub(crate) const KEYS: u64 = 1_000;
/// No transport takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bare transport sends what a node would, `in_flight` frames at once; the other end is a whole node, and every key is
/// resident. Keys a second from the first publish until all are gone there, in each round.
pub(crate) async fn keys_per_second(
    sender: SharedTransport,
    receiver: SharedTransport,
    in_flight: usize,
) -> anyhow::Result<Vec<f64>> {
    let origin = NodeId::random();
    sender.bind(origin);
    let _listening = sender.subscribe().await?;
    let node = Node::builder(CLUSTER)
        .log(MemoryLog::new())
        .shared_transport(receiver)
        .start()
        .await?;
    let cache: Cache<u64, u64> = node
        .cache("flood")
        .capacity(4 * FRAMES * KEYS)
        .ttl(TTL)
        .max_staleness(MAX_STALENESS)
        .build()?;
    let mut rates = Vec::new();
    let mut sequence = 0;
    for round in 0..=ROUNDS {
        for key in 0..FRAMES * KEYS {
            cache
                .get_or_load(&key, || async move { anyhow::Ok(key) })
                .await?;
        }
        let frames: Vec<_> = (0..FRAMES)
            .map(|frame| frame_of(origin, sequence + frame + 1, frame))
            .collect();
        sequence += FRAMES;
        let start = Instant::now();
        send(&sender, frames, in_flight).await?;
        until_gone(&cache, start + PATIENCE).await?;
        if round > 0 {
            rates.push((FRAMES * KEYS) as f64 / start.elapsed().as_secs_f64());
        }
    }
    node.shutdown(Duration::from_secs(5)).await?;
    sender.close().await?;
    Ok(rates)
}

async fn send(
    sender: &SharedTransport,
    frames: Vec<Bytes>,
    in_flight: usize,
) -> anyhow::Result<()> {
    let acknowledges = sender.capabilities().acknowledges;
    let mut sending = tokio::task::JoinSet::new();
    for frame in frames {
        if sending.len() >= in_flight
            && let Some(sent) = sending.join_next().await
        {
            taken(&sent??)?;
        }
        let sender = sender.clone();
        sending.spawn(async move {
            let frame = Outgoing::to_all(frame);
            let frame = if acknowledges {
                frame.wanting_ack()
            } else {
                frame
            };
            sender.publish(frame).await
        });
    }
    while let Some(sent) = sending.join_next().await {
        taken(&sent??)?;
    }
    Ok(())
}

/// By all, where the transport knows whom.
fn taken(delivery: &Delivery) -> anyhow::Result<()> {
    let applied = |peer: &PeerOutcome| matches!(peer.result, Ok(Some(_)));
    anyhow::ensure!(delivery.peers.iter().all(applied), "{delivery:?}");
    Ok(())
}

/// Nothing else drops them: the log is empty.
async fn until_gone(cache: &Cache<u64, u64>, deadline: Instant) -> anyhow::Result<()> {
    let mut first = 0;
    while first < FRAMES * KEYS {
        if cache.peek(&first).is_none() {
            first += 1;
            continue;
        }
        anyhow::ensure!(Instant::now() < deadline, "key {first} is never dropped");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// A frame of 1,000 keys.
pub(crate) fn frame_of(origin: NodeId, sequence: u64, frame: u64) -> Bytes {
    let keys = (frame * KEYS..(frame + 1) * KEYS).map(|key| key.to_string());
    let cache = "flood".parse().expect("a good name");
    let entry = Entry::new(Invalidation::Cache {
        cache,
        scope: Scope::keys(keys),
    });
    let message = Message::Invalidations(vec![Carried {
        entry,
        standing: Standing::Proven(None),
    }]);
    let cluster = CLUSTER.parse().expect("a good name");
    encode(&Envelope {
        cluster,
        origin,
        sequence,
        message,
    })
}
