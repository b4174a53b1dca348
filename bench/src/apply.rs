//! Keys a second that one node applies, and what a clear costs.

use std::{sync::Arc, time::Instant};

use cache_invalidation::{
    Cache, CacheInvalidationTransport, Entry, Invalidation, MemoryLog, Node, NodeId, Outgoing,
    Scope,
};
use invalidation_core::frame::{Carried, Envelope, Message, Standing, encode};

use crate::{
    report::{Bound, Figure, Report, median},
    setup::{CLUSTER, MAX_STALENESS, TTL, pair, runtime},
};

const ROUNDS: usize = 9;
const FRAMES: u64 = 200;
const KEYS: u64 = 1_000;
/// Frames on their way at once.
const IN_FLIGHT: usize = 8;

pub(crate) fn run() -> anyhow::Result<Report> {
    let runtime = runtime()?;
    runtime.block_on(runtime.spawn(measure()))?
}

async fn measure() -> anyhow::Result<Report> {
    let mut report = Report::new("apply");
    let mut rates = keys_per_second().await?;
    let rate = median(&mut rates);
    report.row(
        "keys applied, HTTP, authenticated, 1,000 a frame",
        None,
        Figure::PerSecond(rate),
    );
    report.target("apply_keys_per_s", rate, Bound::AtLeast(1_000_000.0));

    let node = Node::builder(CLUSTER).log(MemoryLog::new()).start().await?;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for round in 0..101 {
        let (small, large) = (filled(&node, 10).await?, filled(&node, 100_000).await?);
        // Who comes first finds the processor's caches full of what filled the large one: in turn.
        let (small, large) = if round % 2 == 0 {
            let small = clear(&small).await?;
            (small, clear(&large).await?)
        } else {
            let large = clear(&large).await?;
            (clear(&small).await?, large)
        };
        if round > 0 {
            few.push(small);
            many.push(large);
        }
    }
    let (few, many) = (median(&mut few), median(&mut many));
    report.row("clear of 10 entries", None, Figure::Nanos(few));
    report.row("clear of 100 k entries", None, Figure::Nanos(many));
    report.target("clear_100k_vs_10", many / few, Bound::AtMost(3.0));
    Ok(report)
}

/// A bare transport sends what a node would; the other end is a whole node, and every key is resident.
async fn keys_per_second() -> anyhow::Result<Vec<f64>> {
    let (sender, receiver) = pair()?;
    let origin = NodeId::random();
    sender.bind(origin);
    let _listening = sender.subscribe().await?;
    let sender = Arc::new(sender);
    let node = Node::builder(CLUSTER)
        .log(MemoryLog::new())
        .transport(receiver)
        .start()
        .await?;
    let cache: Cache<u64, u64> = node
        .cache("apply")
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
            .map(|frame| outgoing(origin, sequence + frame + 1, frame))
            .collect();
        sequence += FRAMES;
        let start = Instant::now();
        let mut sending = tokio::task::JoinSet::new();
        for frame in frames {
            if sending.len() >= IN_FLIGHT
                && let Some(sent) = sending.join_next().await
            {
                applied(&sent??)?;
            }
            let sender = sender.clone();
            sending.spawn(async move { sender.publish(frame).await });
        }
        while let Some(sent) = sending.join_next().await {
            applied(&sent??)?;
        }
        let rate = (FRAMES * KEYS) as f64 / start.elapsed().as_secs_f64();
        anyhow::ensure!(
            (0..FRAMES * KEYS).all(|key| cache.peek(&key).is_none()),
            "not all applied"
        );
        if round > 0 {
            rates.push(rate);
        }
    }
    Ok(rates)
}

fn applied(delivery: &cache_invalidation::Delivery) -> anyhow::Result<()> {
    let applied = |peer: &cache_invalidation::PeerOutcome| matches!(peer.result, Ok(Some(_)));
    anyhow::ensure!(
        !delivery.peers.is_empty() && delivery.peers.iter().all(applied),
        "{delivery:?}"
    );
    Ok(())
}

/// A frame of 1,000 keys that asks to be told when it was applied.
fn outgoing(origin: NodeId, sequence: u64, frame: u64) -> Outgoing {
    let keys = (frame * KEYS..(frame + 1) * KEYS).map(|key| key.to_string());
    let cache = "apply".parse().expect("a good name");
    let entry = Entry::new(Invalidation::Cache {
        cache,
        scope: Scope::keys(keys),
    });
    let message = Message::Invalidations(vec![Carried {
        entry,
        standing: Standing::Proven(None),
    }]);
    let cluster = CLUSTER.parse().expect("a good name");
    Outgoing::to_all(encode(&Envelope {
        cluster,
        origin,
        sequence,
        message,
    }))
    .wanting_ack()
}

async fn filled(node: &Node, entries: u64) -> anyhow::Result<Cache<u64, u64>> {
    let cache = node
        .cache(&format!("{entries} entries"))
        .capacity(200_000)
        .ttl(TTL)
        .build()?;
    for key in 0..entries {
        cache
            .get_or_load(&key, || async move { anyhow::Ok(key) })
            .await?;
    }
    Ok(cache)
}

/// Nanoseconds of a clear.
async fn clear(cache: &Cache<u64, u64>) -> anyhow::Result<f64> {
    let start = Instant::now();
    drop(cache.clear().await?);
    let took = start.elapsed().as_nanos() as f64;
    anyhow::ensure!(cache.peek(&0).is_none(), "not cleared");
    Ok(took)
}
