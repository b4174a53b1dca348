//! A hit, beside raw `quick_cache` and `moka`.

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    time::Instant,
};

use cache_invalidation::{Cache, Loaded, MemoryLog, Node, NodeClock};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

use crate::{
    report::{Bound, Figure, Report, median},
    setup::{CLUSTER, MAX_STALENESS, TTL, runtime},
    zipf::ranks,
};

const KEYS: u64 = 100_000;
const ROUNDS: usize = 15;
/// Operations of each thread in a round.
const OPS: usize = 400_000;
/// Capacity well above the keys, so that nothing is evicted and every read is a hit.
const CAPACITY: usize = 2 * KEYS as usize;

/// A word, so that nothing but the cache is measured: no count of references, no memory of the value's own.
type Value = u64;

/// What makes the next key depend on the value that was found, as where one row names the next. It is always zero.
///
/// The targets are of lookups that do not depend on one another, of which the processor has several in work at once; rows of
/// their own show what a caller waits for a hit.
fn next(value: Option<Value>, key: u64) -> u64 {
    value.map_or(0, |value| black_box(value) ^ key)
}

/// What is measured: one thread's share of a round.
type Work = Arc<dyn Fn(&[u64]) + Send + Sync>;

pub(crate) fn run() -> anyhow::Result<Report> {
    let runtime = runtime()?;
    let (node, boottime) = runtime.block_on(async {
        let log = MemoryLog::new();
        let node = Node::builder(CLUSTER).log(log.connect()).start().await?;
        let boottime = Node::builder(CLUSTER)
            .log(log)
            .clock(NodeClock::Boottime)
            .start()
            .await?;
        anyhow::Ok((node, boottime))
    })?;
    let cache = cache(&node, "hit")?;
    let tagged = cache_of(&node, "tagged", |key| {
        Loaded::new(key).tag(format!("tag {}", key % 1_000))
    })?;
    let on_boottime = self::cache(&boottime, "boottime")?;
    let raw = Arc::new(quick_cache::sync::Cache::<u64, Value>::new(CAPACITY));
    let moka = moka::future::Cache::<u64, Value>::builder()
        .max_capacity(CAPACITY as u64)
        .time_to_live(TTL)
        .build();
    let current = tokio::runtime::Builder::new_current_thread().build()?;
    for key in 0..KEYS {
        raw.insert(key, key);
    }
    // One after the other, so that neither's values lie between those of the other.
    for key in 0..KEYS {
        current.block_on(moka.insert(key, key));
    }

    let variants: Vec<(&str, Work)> = vec![
        ("quick_cache", {
            let raw = raw.clone();
            Arc::new(move |keys| {
                keys.iter().for_each(|key| _ = black_box(raw.get(key)));
            })
        }),
        (
            "moka::future with TTL",
            reads(moka, async |moka, key| moka.get(key).await),
        ),
        (
            "Cache::get",
            reads(cache.clone(), async |cache, key| {
                cache.get(key).await.ok().flatten()
            }),
        ),
        (
            "Cache::get_or_load",
            reads(cache.clone(), async |cache, key| {
                cache.get_or_load(key, || load(*key)).await.ok()
            }),
        ),
        ("Cache::peek", {
            let cache = cache.clone();
            Arc::new(move |keys| {
                keys.iter().for_each(|key| _ = black_box(cache.peek(key)));
            })
        }),
        (
            "Cache::get, tagged entries",
            reads(tagged, async |cache, key| {
                cache.get(key).await.ok().flatten()
            }),
        ),
        (
            "Cache::get, boottime clock",
            reads(on_boottime, async |cache, key| {
                cache.get(key).await.ok().flatten()
            }),
        ),
        ("quick_cache, each on the last", {
            let raw = raw.clone();
            Arc::new(move |keys| {
                keys.iter()
                    .fold(0, |last, key| next(raw.get(&(key ^ last)), *key));
            })
        }),
        ("Cache::peek, each on the last", {
            let cache = cache.clone();
            Arc::new(move |keys| {
                keys.iter()
                    .fold(0, |last, key| next(cache.peek(&(key ^ last)), *key));
            })
        }),
        (
            "Cache::get, one hot key",
            reads(cache.clone(), async |cache, _| {
                cache.get(&7).await.ok().flatten()
            }),
        ),
        (
            "quick_cache, one hot key",
            Arc::new(move |keys| {
                keys.iter().for_each(|_| _ = black_box(raw.get(&7)));
            }),
        ),
    ];

    let mut report = Report::new("hit");
    let keys: Vec<Arc<[u64]>> = (0..2)
        .map(|seed| ranks(KEYS as usize, 0.99, OPS, seed).into())
        .collect();
    let mut random = SmallRng::seed_from_u64(0);
    for threads in [1, 2] {
        let mut nanos = vec![Vec::new(); variants.len()];
        // In an order of its own for each round, so that no variant always follows the same one.
        let mut order: Vec<usize> = (0..variants.len()).collect();
        for _ in 0..ROUNDS {
            order.shuffle(&mut random);
            for &variant in &order {
                nanos[variant].push(round(&variants[variant].1, &keys[..threads]));
            }
        }
        let medians: Vec<f64> = nanos.iter_mut().map(|nanos| median(nanos)).collect();
        for ((name, _), nanos) in variants.iter().zip(&medians) {
            report.row(*name, Some(threads), Figure::Nanos(*nanos));
        }
        let [raw, moka, get, get_or_load, ..] = medians[..] else {
            anyhow::bail!("too few variants")
        };
        report.target(
            format!("hit_vs_quick_cache_{threads}t"),
            get / raw,
            Bound::AtMost(1.4),
        );
        report.target(
            format!("hit_vs_moka_{threads}t"),
            get / moka,
            Bound::AtMost(0.2),
        );
        report.target(
            format!("get_or_load_vs_quick_cache_{threads}t"),
            get_or_load / raw,
            Bound::AtMost(1.6),
        );
    }
    report.row(
        "a miss with its fill",
        Some(1),
        Figure::Nanos(misses(&node)?),
    );
    Ok(report)
}

/// A cache with TTL and lease that holds every key.
fn cache(node: &Node, name: &str) -> anyhow::Result<Cache<u64, Value>> {
    cache_of(node, name, Loaded::new)
}

fn cache_of(
    node: &Node,
    name: &str,
    value: fn(u64) -> Loaded<Value>,
) -> anyhow::Result<Cache<u64, Value>> {
    let cache = node
        .cache(name)
        .capacity(CAPACITY as u64)
        .ttl(TTL)
        .max_staleness(MAX_STALENESS)
        .build()?;
    let fill = async {
        for key in 0..KEYS {
            cache
                .get_or_load(&key, || async move { anyhow::Ok(value(key)) })
                .await?;
        }
        anyhow::Ok(())
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(fill)?;
    Ok(cache)
}

async fn load(key: u64) -> Result<Value, std::io::Error> {
    Ok(key)
}

/// Runs `read` for each key on a runtime of the thread's own.
fn reads<C: Clone + Send + Sync + 'static>(
    cache: C,
    read: impl AsyncFn(&C, &u64) -> Option<Value> + Send + Sync + 'static,
) -> Work {
    Arc::new(move |keys| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            for key in keys {
                _ = black_box(read(&cache, key).await);
            }
        });
    })
}

/// Nanoseconds an operation, with one thread for each list of keys.
fn round(work: &Work, keys: &[Arc<[u64]>]) -> f64 {
    let barrier = Arc::new(Barrier::new(keys.len()));
    let threads: Vec<_> = keys
        .iter()
        .map(|keys| {
            let (work, keys, barrier) = (work.clone(), keys.clone(), barrier.clone());
            std::thread::spawn(move || {
                work(&keys); // Else it pays for what the variant before it took of the processor's caches.
                barrier.wait();
                let start = Instant::now();
                work(&keys);
                start.elapsed().as_nanos() as f64 / keys.len() as f64
            })
        })
        .collect();
    let mut nanos: Vec<f64> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap_or(f64::NAN))
        .collect();
    median(&mut nanos)
}

/// Nanoseconds a miss that loads at once and is cached.
fn misses(node: &Node) -> anyhow::Result<f64> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let cache: Cache<u64, Value> = node
            .cache(&format!("miss {round}"))
            .capacity(CAPACITY as u64)
            .ttl(TTL)
            .max_staleness(MAX_STALENESS)
            .build()?;
        let start = Instant::now();
        let fill = async {
            for key in 0..KEYS {
                cache.get_or_load(&key, || load(key)).await?;
            }
            anyhow::Ok(())
        };
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(fill)?;
        rounds.push(start.elapsed().as_nanos() as f64 / KEYS as f64);
    }
    Ok(median(&mut rounds))
}
