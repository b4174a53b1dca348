//! Which part of the reads are hits when not all keys have room, beside `quick_cache` and `moka`.

use cache_invalidation::{Cache, MemoryLog, Node};

use crate::{
    report::{Bound, Figure, Report},
    setup::{CLUSTER, MAX_STALENESS, TTL, runtime},
    zipf::ranks,
};

const READS: usize = 3_000_000;

/// What is read, key by key. The first half of each trace only warms the caches.
fn traces() -> Vec<(&'static str, Vec<u64>, u64)> {
    let mut traces = Vec::new();
    for (name, exponent) in [("Zipf 0.7", 0.7), ("Zipf 0.99", 0.99), ("Zipf 1.2", 1.2)] {
        let trace = ranks(1_000_000, exponent, READS, 1);
        traces.push((name, trace.clone(), 10_000));
        traces.push((name, trace, 100_000));
    }
    let base = ranks(200_000, 0.9, READS, 2);
    traces.push(("Zipf 0.9 and scans", scanned(&base), 20_000));
    let moving = ranks(50_000, 0.99, READS, 3);
    let moving = moving
        .iter()
        .zip(0..)
        .map(|(key, at)| key + at / 300_000 * 5_000);
    traces.push(("a moving hot set", moving.collect(), 10_000));
    traces.push((
        "a loop",
        (0..READS as u64).map(|at| at % 30_000).collect(),
        25_000,
    ));
    traces
}

/// A third of the time each read is followed by one of a key that is never read again.
fn scanned(base: &[u64]) -> Vec<u64> {
    let mut once = 1 << 40..;
    let mut trace = Vec::new();
    for (at, key) in base.iter().enumerate() {
        trace.push(*key);
        if at / 100_000 % 3 == 2 {
            trace.extend(once.next());
        }
    }
    trace
}

pub(crate) fn run() -> anyhow::Result<Report> {
    let runtime = runtime()?;
    let node = runtime.block_on(async {
        let log = MemoryLog::new();
        Node::builder(CLUSTER).log(log.connect()).start().await
    })?;
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut report = Report::new("hit-ratio");
    let mut worst = f64::MIN;
    for (number, (name, trace, capacity)) in traces().into_iter().enumerate() {
        let quick = quick_cache::sync::Cache::<u64, u64>::new(usize::try_from(capacity)?);
        let quick_cache = ratio(&trace, |key| {
            quick.get(&key).is_some() || {
                quick.insert(key, key);
                false
            }
        });
        let moka_cache = moka::sync::Cache::<u64, u64>::new(capacity);
        let moka = ratio(&trace, |key| {
            moka_cache.get(&key).is_some() || {
                moka_cache.insert(key, key);
                false
            }
        });
        let cache: Cache<u64, u64> = node
            .cache(&format!("trace {number}"))
            .capacity(capacity)
            .ttl(TTL)
            .max_staleness(MAX_STALENESS)
            .build()?;
        let ours = current.block_on(async {
            ratio(&trace, |key| {
                cache.peek(&key).is_some() || {
                    cache.start_fill(&key).complete(key);
                    false
                }
            })
        });
        let of = format!("{name}, room for {capacity}");
        report.row(
            format!("{of}: quick_cache"),
            None,
            Figure::Fraction(quick_cache),
        );
        report.row(format!("{of}: moka"), None, Figure::Fraction(moka));
        report.row(format!("{of}: Cache"), None, Figure::Fraction(ours));
        worst = worst.max(quick_cache - ours);
    }
    report.target("hit_ratio_below_quick_cache", worst, Bound::AtMost(0.02));
    Ok(report)
}

/// The part of the second half of `trace` for which `read` says that it hit.
fn ratio(trace: &[u64], mut read: impl FnMut(u64) -> bool) -> f64 {
    let (warm, measured) = trace.split_at(trace.len() / 2);
    warm.iter().for_each(|key| _ = read(*key));
    let hits = measured.iter().filter(|key| read(**key)).count();
    hits as f64 / measured.len() as f64
}
