//! Keys a second that one node applies, and what a clear costs.

use std::{sync::Arc, time::Instant};

use cache_invalidation::{Cache, MemoryLog, Node};

use crate::{
    flood::keys_per_second,
    report::{Bound, Figure, Report, median},
    setup::{CLUSTER, TTL, pair, runtime},
};

/// Frames on their way at once.
const IN_FLIGHT: usize = 8;

pub(crate) fn run() -> anyhow::Result<Report> {
    let runtime = runtime()?;
    runtime.block_on(runtime.spawn(measure()))?
}

async fn measure() -> anyhow::Result<Report> {
    let mut report = Report::new("apply");
    let (sender, receiver) = pair()?;
    let mut rates = keys_per_second(Arc::new(sender), Arc::new(receiver), IN_FLIGHT).await?;
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
