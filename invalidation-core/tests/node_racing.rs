//! Readers and writers on several nodes, with faults: no read is staler than it may be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use invalidation_core::{
    Cache, ErrorKind, Loaded, MemoryHub, MemoryLog, MemoryTransport, Node, NodeClock, NodeId,
};
use support::{eventually, via};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep},
};

const KEYS: usize = 6;

/// A row: what is stored, and who told of which value, once its invalidation had returned.
#[derive(Default)]
struct Row {
    stored: AtomicU64,
    told: parking_lot::Mutex<Vec<(Instant, NodeId, u64)>>,
    writing: Mutex<()>,
}

/// What a read that starts now may not be older than.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// What was told so long ago, by anybody (`P3`).
    Lease(Duration),
    /// What this node told (`P6`).
    Own,
    /// The same, on a node without a log.
    OwnWithoutLog,
}

impl Row {
    fn oldest(&self, bound: Bound, reader: NodeId) -> u64 {
        let now = Instant::now();
        let told = self.told.lock();
        let counts = |(at, by, _): &&(Instant, NodeId, u64)| match bound {
            Bound::Lease(limit) => *at + limit <= now,
            Bound::Own | Bound::OwnWithoutLog => *by == reader,
        };
        told.iter()
            .rev()
            .filter(counts)
            .map(|t| t.2)
            .max()
            .unwrap_or_default()
    }
}

#[derive(Clone)]
struct Member {
    node: Node,
    cache: Cache<i64, u64>,
    log: MemoryLog,
    link: MemoryTransport,
}

async fn member(log: &MemoryLog, hub: &MemoryHub, bound: Bound) -> Member {
    let (log, link) = (log.connect(), via(hub));
    let builder = match bound {
        Bound::OwnWithoutLog => Node::builder("test"),
        _ => Node::builder("test").log(log.clone()),
    };
    let node = builder
        .transport(link.clone())
        .poll_interval(Duration::from_millis(50))
        .clock(NodeClock::Boottime)
        .start()
        .await
        .unwrap();
    let builder = node
        .cache("rows")
        .capacity(4)
        .ttl(Duration::from_millis(200))
        .max_concurrent_loads(3)
        .load_timeout(Duration::from_millis(40));
    let cache = match bound {
        Bound::Lease(limit) => builder.max_staleness(limit),
        Bound::Own | Bound::OwnWithoutLog => builder.ttl(Duration::from_secs(3_600)),
    };
    let cache = cache.build().unwrap();
    Member {
        node,
        cache,
        log,
        link,
    }
}

fn chance(one_in: u32) -> bool {
    rand::random_range(0..one_in) == 0
}

async fn linger(micros: u64) {
    sleep(Duration::from_micros(rand::random_range(0..micros))).await;
}

async fn write(on: &Member, rows: &[Row], key: usize) {
    let row = &rows[key];
    let _writing = row.writing.lock().await;
    let next = row.stored.load(Ordering::SeqCst) + 1;
    let id = key as i64;
    let told = match rand::random_range(0..5) {
        0 => {
            row.stored.store(next, Ordering::SeqCst);
            on.cache.invalidate_tag(format!("t{key}")).await.is_ok()
        }
        1 => {
            row.stored.store(next, Ordering::SeqCst);
            on.cache.clear().await.is_ok()
        }
        2 => {
            row.stored.store(next, Ordering::SeqCst);
            on.node.invalidate_everything().await.is_ok()
        }
        3 => {
            let mut tx = on.log.begin();
            let Ok(pending) = on.cache.invalidate_in(&mut tx, [&id]).await else {
                return;
            };
            linger(2_000).await;
            if chance(4) {
                return; // Rolled back, and nobody says so.
            }
            row.stored.store(next, Ordering::SeqCst);
            pending.commit(tx.commit()).await.is_ok()
        }
        _ => {
            row.stored.store(next, Ordering::SeqCst);
            let invalidate = on.cache.invalidate(&id);
            match chance(5) {
                true => tokio::time::timeout(Duration::from_micros(300), invalidate)
                    .await
                    .is_ok_and(|told| told.is_ok()),
                false => invalidate.await.is_ok(),
            }
        }
    };
    if told {
        row.told.lock().push((Instant::now(), on.node.id(), next));
    }
}

async fn check(on: &Member, rows: &Arc<Vec<Row>>, key: usize, allowed: u64) -> bool {
    let load = || {
        let rows = rows.clone();
        async move {
            linger(1_000).await;
            let value = rows[key].stored.load(Ordering::SeqCst);
            linger(if chance(10) { 60_000 } else { 3_000 }).await;
            Ok::<_, std::io::Error>(Loaded::new(value).tag(format!("t{key}")))
        }
    };
    let id = key as i64;
    let read = on.cache.get_or_load(&id, load);
    let read = match chance(8) {
        true => tokio::time::timeout(Duration::from_micros(1_500), read).await,
        false => Ok(read.await),
    };
    if let Ok(Ok(value)) = read {
        assert!(value >= allowed, "key {key}: {value}, and not {allowed}");
        return true;
    }
    false
}

async fn disturb(on: &Member) {
    linger(60_000).await;
    let faults = on.log.faults();
    match rand::random_range(0..9) {
        0 => faults.reads().fail_next(3, ErrorKind::Unavailable),
        1 => faults.reads().hang(),
        2 => faults.reads().panic_next(1),
        3 => on.link.faults().cut(),
        4 => on.link.faults().duplicate_sent(true),
        6 => on.link.faults().swallow(true),
        7 => on.link.faults().lose_sent(2),
        5 => faults.appends().lose_next_answers(1, ErrorKind::TimedOut),
        _ => on.link.faults().hold_sent(),
    }
    linger(60_000).await;
    faults.reads().heal();
    faults.appends().heal();
    on.link.faults().heal();
}

async fn race(bound: Bound) {
    let (log, hub) = (MemoryLog::new(), MemoryHub::new());
    let rows: Arc<Vec<Row>> = Arc::new((0..KEYS).map(|_| Row::default()).collect());
    let checked = Arc::new(AtomicU64::new(0));
    let seconds = std::env::var("SECONDS_OF_RACING").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(2);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    let mut members = Vec::new();
    for _ in 0..3 {
        let member = member(&log, &hub, bound).await;
        for _ in 0..8 {
            let (member, rows, checked) = (member.clone(), rows.clone(), checked.clone());
            tasks.spawn(async move {
                while Instant::now() < end {
                    let key = rand::random_range(0..KEYS);
                    let allowed = rows[key].oldest(bound, member.node.id());
                    if check(&member, &rows, key, allowed).await {
                        checked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let (disturbed, writer, rows) = (member.clone(), member.clone(), rows.clone());
        tasks.spawn(async move {
            while Instant::now() < end {
                disturb(&disturbed).await;
            }
        });
        tasks.spawn(async move {
            while Instant::now() < end {
                linger(10_000).await;
                write(&writer, &rows, rand::random_range(0..KEYS)).await;
            }
        });
        members.push(member);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert!(checked.load(Ordering::Relaxed) > 100);
    // P1: in the end every node has heard of everything.
    let everything = Bound::Lease(Duration::ZERO);
    for member in &members {
        for (key, row) in rows.iter().enumerate() {
            let told = row.oldest(everything, member.node.id());
            eventually("the last value is read everywhere", async || {
                let stored = async || Ok::<_, std::io::Error>(row.stored.load(Ordering::SeqCst));
                let read = member.cache.get_or_load(&(key as i64), stored).await;
                read.is_ok_and(|value| value >= told)
            })
            .await;
        }
    }
}

/// P3, P5, P7: whatever fails, a strict read sees all that was told before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p3_a_strict_read_is_never_stale() {
    race(Bound::Lease(Duration::ZERO)).await;
}

/// P3: whatever fails, a read is never staler than the lease of its cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p3_a_leased_read_is_never_staler_than_its_lease() {
    race(Bound::Lease(Duration::from_millis(60))).await;
}

/// P6: whatever fails, a node reads what it told itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p6_a_node_reads_what_it_told() {
    race(Bound::Own).await;
}

/// P1, P6, P10: without a log a node reads what it told itself, and whatever is lost is made good for by a flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p10_without_a_log_a_loss_is_flushed() {
    race(Bound::OwnWithoutLog).await;
}
