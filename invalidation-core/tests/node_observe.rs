//! P19: every flush, gap, widening, lapse and drop is counted, with its reason.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use invalidation_core::{
    CacheName, Entry, ErrorKind, Invalidation, InvalidationLog, MemoryHub, MemoryLog, Node,
    NodeClock, Scope, Sender,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::{FollowingClock, Table, eventually, leased, on, read, users, via};

/// Counts what this thread's runtime counts; each test has its own thread and its own runtime on it.
struct Counts {
    snapshotter: Snapshotter,
    _guard: metrics::LocalRecorderGuard<'static>,
    seen: std::cell::RefCell<std::collections::HashMap<String, u64>>,
}

impl Counts {
    fn start() -> Self {
        let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
        let snapshotter = recorder.snapshotter();
        Self {
            snapshotter,
            _guard: metrics::set_default_local_recorder(recorder),
            seen: Default::default(),
        }
    }

    /// How often the counter whose name and labels hold all of `words` was incremented.
    fn of(&self, words: &[&str]) -> u64 {
        let mut seen = self.seen.borrow_mut();
        // A snapshot takes what it tells.
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            if let DebugValue::Counter(count) = value {
                *seen.entry(format!("{:?}", key.key())).or_default() += count;
            }
        }
        let all = |key: &str| {
            words
                .iter()
                .all(|word| key.contains(&format!("\"{word}\"")) || key.contains(word))
        };
        seen.iter()
            .filter(|(key, _)| all(key))
            .map(|(_, count)| count)
            .sum()
    }

    async fn sees(&self, words: &[&str]) {
        eventually(&format!("{words:?} is counted"), async || {
            self.of(words) > 0
        })
        .await;
    }
}

fn user(key: &str) -> Entry {
    let cache = CacheName::new("users").unwrap();
    Entry::new(Invalidation::Cache {
        cache,
        scope: Scope::keys([key]),
    })
}

/// P19: flushes and gaps of the log.
#[tokio::test(start_paused = true)]
async fn p19_gaps_of_the_log_are_counted() {
    let counts = Counts::start();
    let log = MemoryLog::new();
    let node = on(&log).start().await.unwrap();
    let _cache = users(&node);
    log.faults().recreate();
    counts.sees(&["flushes_total", "identity_changed"]).await;
    counts
        .sees(&["gaps_total", "log", "identity_changed"])
        .await;
    log.faults().cap_pages(Some(1));
    for key in 0..100 {
        log.append(&[user(&key.to_string())]).await.unwrap();
    }
    counts.sees(&["flushes_total", "backlog"]).await;
    log.faults().inject_undecodable(None);
    counts.sees(&["widened_total", "undecodable_entry"]).await;
    log.append(&[Entry::new(Invalidation::Cache {
        cache: CacheName::new("nobody").unwrap(),
        scope: Scope::All,
    })])
    .await
    .unwrap();
    counts.sees(&["skipped_total", "unknown_cache"]).await;
    log.append(&[user("no number")]).await.unwrap();
    counts.sees(&["widened_total", "key"]).await;
}

/// P19: a lapse of the lease is counted once, when it begins.
#[tokio::test(start_paused = true)]
async fn p19_a_lapse_is_counted_once() {
    let counts = Counts::start();
    let log = MemoryLog::new();
    let clock = NodeClock::Custom(FollowingClock::new());
    let node = Node::builder("test")
        .log(log.clone())
        .clock(clock)
        .start()
        .await
        .unwrap();
    let _cache = leased(&node, Duration::from_secs(2));
    log.faults().reads().fail_all(ErrorKind::Unavailable);
    tokio::time::sleep(Duration::from_secs(1)).await; // Virtual.
    assert_eq!(counts.of(&["lease_lapses_total"]), 0);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(counts.of(&["lease_lapses_total"]), 1);
    counts.sees(&["log_reads_total", "failed"]).await;
}

/// P19: gaps of a transport, frames of no use, and what nobody could believe.
#[tokio::test(start_paused = true)]
async fn p19_gaps_of_a_transport_are_counted() {
    let counts = Counts::start();
    let (hub, table) = (MemoryHub::new(), Table::default());
    let inbound = via(&hub);
    let node = Node::builder("test")
        .transport(inbound.clone())
        .start()
        .await
        .unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    inbound
        .faults()
        .inject(Bytes::from_static(b"\xff"), Sender::Authenticated);
    counts.sees(&["gaps_total", "frame_unreadable"]).await;
    counts.sees(&["flushes_total", "frame_unreadable"]).await;
    let other = Node::builder("other")
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    drop(other.invalidate_everything().await.unwrap());
    counts.sees(&["dropped_total", "other_cluster"]).await;
    inbound.faults().cut();
    inbound.faults().heal();
    counts.sees(&["gaps_total", "link_lost"]).await;
    counts.sees(&["subscriptions_total", "lost"]).await;
}

/// P19: outcomes that nobody knows.
#[tokio::test(start_paused = true)]
async fn p19_unknown_outcomes_are_counted() {
    let counts = Counts::start();
    let log = MemoryLog::new();
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    let mut tx = log.begin();
    drop(cache.invalidate_in(&mut tx, [&1]).await.unwrap());
    assert_eq!(counts.of(&["dropped_total", "commit_outcome_unknown"]), 1);
}

/// P19: an orderly end is no lost link: nothing is counted (nor warned of) that an operator would look into.
#[tokio::test(start_paused = true)]
async fn p19_an_orderly_end_is_no_loss() {
    let counts = Counts::start();
    let (hub, log) = (MemoryHub::new(), MemoryLog::new());
    for _ in 0..8 {
        let node = on(&log).transport(via(&hub)).start().await.unwrap();
        node.shutdown(Duration::from_secs(5)).await.unwrap();
    }
    for outcome in ["lost", "failed"] {
        assert_eq!(counts.of(&["subscriptions_total", outcome]), 0, "{outcome}");
    }
    assert_eq!(counts.of(&["gaps_total", "link_lost"]), 0);
}
