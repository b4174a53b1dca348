//! A hit, beside raw `quick_cache` and `moka`.

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    time::Instant,
};

use cache_invalidation::{Cache, Loaded, MemoryLog, Node, NodeClock};

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

type Value = Arc<u64>;

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
        Loaded::new(Arc::new(key)).tag(format!("tag {}", key % 1_000))
    })?;
    let on_boottime = self::cache(&boottime, "boottime")?;
    let raw = Arc::new(quick_cache::sync::Cache::<u64, Value>::new(CAPACITY));
    let moka = moka::future::Cache::<u64, Value>::builder()
        .max_capacity(CAPACITY as u64)
        .time_to_live(TTL)
        .build();
    let current = tokio::runtime::Builder::new_current_thread().build()?;
    for key in 0..KEYS {
        raw.insert(key, Arc::new(key));
        current.block_on(moka.insert(key, Arc::new(key)));
    }

    let variants: Vec<(&str, Work)> = vec![
        ("quick_cache", {
            let raw = raw.clone();
            Arc::new(move |keys| keys.iter().for_each(|key| drop(black_box(raw.get(key)))))
        }),
        (
            "moka::future with TTL",
            reads(moka, async |moka, key| drop(black_box(moka.get(key).await))),
        ),
        (
            "Cache::get",
            reads(cache.clone(), async |cache, key| {
                drop(black_box(cache.get(key).await))
            }),
        ),
        (
            "Cache::get_or_load",
            reads(cache.clone(), async |cache, key| {
                drop(black_box(cache.get_or_load(key, || load(*key)).await));
            }),
        ),
        ("Cache::peek", {
            let cache = cache.clone();
            Arc::new(move |keys| keys.iter().for_each(|key| drop(black_box(cache.peek(key)))))
        }),
        (
            "Cache::get, tagged entries",
            reads(tagged, async |cache, key| {
                drop(black_box(cache.get(key).await))
            }),
        ),
        (
            "Cache::get, boottime clock",
            reads(on_boottime, async |cache, key| {
                drop(black_box(cache.get(key).await))
            }),
        ),
        (
            "Cache::get, one hot key",
            reads(cache.clone(), async |cache, _| {
                drop(black_box(cache.get(&7).await))
            }),
        ),
        (
            "quick_cache, one hot key",
            Arc::new(move |keys| keys.iter().for_each(|_| drop(black_box(raw.get(&7))))),
        ),
    ];

    let mut report = Report::new("hit");
    let keys: Vec<Arc<[u64]>> = (0..2)
        .map(|seed| ranks(KEYS as usize, 0.99, OPS, seed).into())
        .collect();
    for threads in [1, 2] {
        let mut nanos = vec![Vec::new(); variants.len()];
        for _ in 0..ROUNDS {
            for ((_, work), nanos) in variants.iter().zip(&mut nanos) {
                nanos.push(round(work, &keys[..threads]));
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
    cache_of(node, name, |key| Loaded::new(Arc::new(key)))
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
    Ok(Arc::new(key))
}

/// Runs `read` for each key on a runtime of the thread's own.
fn reads<C: Clone + Send + Sync + 'static>(
    cache: C,
    read: impl AsyncFn(&C, &u64) + Send + Sync + 'static,
) -> Work {
    Arc::new(move |keys| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            for key in keys {
                read(&cache, key).await;
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
                work(&keys[..keys.len() / 20]); // Warm.
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
