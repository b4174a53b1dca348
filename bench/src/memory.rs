//! Bytes an entry, beside raw `quick_cache`, and growth over a soak.

use std::{process::Command, sync::Arc};

use anyhow::Context;
use cache_invalidation::{Cache, MemoryLog, Node};

use crate::{
    report::{Bound, Figure, Report, median},
    rss::resident,
    setup::{CLUSTER, MAX_STALENESS, TTL, runtime},
};

const ENTRIES: u64 = 1_000_000;
const SOAK: u64 = 10_000_000;
const KEYS_AT_ONCE: u64 = 10;

/// What a child process holds.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Held {
    QuickCache,
    Cache,
    Soak,
}

pub(crate) fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("memory");
    let raw = bytes_per_entry(Held::QuickCache)?;
    let ours = bytes_per_entry(Held::Cache)?;
    report.row("quick_cache, an entry", None, Figure::Bytes(raw));
    report.row("Cache, an entry", None, Figure::Bytes(ours));
    report.target("bytes_per_entry_over_raw", ours - raw, Bound::AtMost(64.0));
    let growth = measure(Held::Soak)?;
    report.row(
        "growth over the last 8 of 10 M invalidations",
        None,
        Figure::Bytes(growth),
    );
    // An allocator moves by some pages; a byte kept of each invalidation would be 8 MB.
    report.target("soak_growth_bytes", growth, Bound::AtMost(524_288.0));
    Ok(report)
}

fn bytes_per_entry(what: Held) -> anyhow::Result<f64> {
    let mut runs = (0..3)
        .map(|_| measure(what))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(median(&mut runs) / ENTRIES as f64)
}

/// A process of its own has an allocator that nobody has used before.
fn measure(what: Held) -> anyhow::Result<f64> {
    let name = clap::ValueEnum::to_possible_value(&what).context("no name")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["child", name.get_name()])
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Prints by how many bytes this process grew.
pub(crate) fn child(what: Held) -> anyhow::Result<()> {
    let grown = match what {
        Held::QuickCache => quick_cache_grows()?,
        Held::Cache => runtime()?.block_on(cache_grows())?,
        Held::Soak => runtime()?.block_on(soak_grows())?,
    };
    println!("{grown}");
    Ok(())
}

fn quick_cache_grows() -> anyhow::Result<i64> {
    let before = resident()?;
    let cache = quick_cache::sync::Cache::<u64, Arc<u64>>::new(ENTRIES as usize);
    for key in 0..2 * ENTRIES {
        cache.insert(key, Arc::new(key));
    }
    let grown = resident()? as i64 - before as i64;
    anyhow::ensure!(cache.len() as u64 > ENTRIES * 9 / 10, "not full");
    Ok(grown)
}

async fn cache_grows() -> anyhow::Result<i64> {
    let node = Node::builder(CLUSTER).log(MemoryLog::new()).start().await?;
    let before = resident()?;
    let cache: Cache<u64, Arc<u64>> = node
        .cache("held")
        .capacity(ENTRIES)
        .ttl(TTL)
        .max_staleness(MAX_STALENESS)
        .build()?;
    for key in 0..2 * ENTRIES {
        cache
            .get_or_load(&key, || async move { anyhow::Ok(Arc::new(key)) })
            .await?;
    }
    let grown = resident()? as i64 - before as i64;
    anyhow::ensure!(cache.stats().entries > ENTRIES * 9 / 10, "not full");
    Ok(grown)
}

/// The growth between the second and the tenth million: by then everything that is bounded is full.
async fn soak_grows() -> anyhow::Result<i64> {
    let node = Node::builder(CLUSTER)
        .log(MemoryLog::with_capacity(10_000))
        .start()
        .await?;
    let cache: Cache<u64, u64> = node.cache("soak").capacity(10_000).ttl(TTL).build()?;
    let mut settled = 0;
    for round in 0..SOAK / KEYS_AT_ONCE {
        let first = round * KEYS_AT_ONCE;
        let keys: Vec<u64> = (first..first + KEYS_AT_ONCE).collect();
        cache
            .get_or_load(&first, || async move { anyhow::Ok(first) })
            .await?;
        drop(cache.invalidate_many(&keys).await?);
        if round * KEYS_AT_ONCE == SOAK / 5 {
            settled = resident()? as i64;
        }
    }
    Ok(resident()? as i64 - settled)
}
