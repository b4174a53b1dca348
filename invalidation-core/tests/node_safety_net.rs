//! The log alone: what it delivers, when a cursor is of no use, and what a failing target costs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use invalidation_core::{
    BoxError, CacheName, Entry, ErrorKind, Invalidation, InvalidationLog, InvalidationTarget,
    MemoryLog, Node, Scope,
};
use support::{Table, eventually, holds, never, on, read, users};

fn of_users(scope: Scope) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: CacheName::new("users").unwrap(),
        scope,
    })
}

/// P1, P15: with every transport off, the log alone delivers.
#[tokio::test(start_paused = true)]
async fn p1_p15_the_log_alone_delivers() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (a, b) = (
        on(&log).start().await.unwrap(),
        on(&log).start().await.unwrap(),
    );
    let (at_a, at_b) = (users(&a), users(&b));
    table.write(1, 1);
    assert_eq!(
        (read(&at_a, &table, 1).await, read(&at_b, &table, 1).await),
        (1, 1)
    );
    table.write(1, 2);
    at_a.invalidate(&1).await.unwrap();
    assert_eq!(read(&at_a, &table, 1).await, 2);
    eventually("b reads the new row", async || {
        read(&at_b, &table, 1).await == 2
    })
    .await;
}

/// P1: a writer that dies between commit and publish is heard from the log.
#[tokio::test(start_paused = true)]
async fn p1_a_writer_that_never_publishes_is_heard() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    table.write(1, 2);
    log.append(&[of_users(Scope::keys(["1"]))]).await.unwrap();
    eventually("the entry is gone", async || !holds(&cache, 1)).await;
    assert_eq!(read(&cache, &table, 1).await, 2);
}

/// P1: while pages keep coming, each entry of each page is applied.
#[tokio::test(start_paused = true)]
async fn p1_every_page_is_applied() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    node_reads_in_pages_of(&log, 7);
    let cache = users(&node);
    for key in 0..60 {
        read(&cache, &table, key).await;
    }
    for key in 0..60 {
        log.append(&[of_users(Scope::keys([key.to_string()]))])
            .await
            .unwrap();
    }
    eventually("all are gone", async || {
        (0..60).all(|key| !holds(&cache, key))
    })
    .await;
}

/// Every node on `log` reads in pages of `entries`.
fn node_reads_in_pages_of(log: &MemoryLog, entries: usize) {
    log.faults().cap_pages(Some(entries));
}

/// P2: what was rolled back is invalidated nowhere.
#[tokio::test(start_paused = true)]
async fn p2_a_rollback_invalidates_nowhere() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (a, b) = (
        on(&log).start().await.unwrap(),
        on(&log).start().await.unwrap(),
    );
    let (at_a, at_b) = (users(&a), users(&b));
    read(&at_b, &table, 1).await;
    let mut tx = log.begin();
    let pending = at_a.invalidate_in(&mut tx, [&1]).await.unwrap();
    tx.rollback();
    pending.rolled_back();
    never("b drops the entry", Duration::from_secs(3), async || {
        !holds(&at_b, 1)
    })
    .await;
    assert!(log.is_empty());
}

/// P10: a recreated log has a named gap, and what it may have hidden is flushed.
#[tokio::test(start_paused = true)]
async fn p10_a_recreated_log_is_a_flush() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    log.faults().recreate();
    eventually("flushed", async || !holds(&cache, 1)).await;
}

/// P10: a log restored from an older state is noticed, also when its ids go on as if nothing had happened.
#[tokio::test(start_paused = true)]
async fn p10_a_restored_log_is_a_flush() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    log.append(&[of_users(Scope::keys(["7"]))]).await.unwrap();
    let older = log.faults().snapshot();
    log.append(&[of_users(Scope::keys(["8"]))]).await.unwrap();
    eventually("caught up", async || log.faults().reads().finished() > 4).await;
    read(&cache, &table, 1).await;
    log.faults().restore(&older);
    log.append(&[of_users(Scope::keys(["9"]))]).await.unwrap();
    eventually("flushed", async || !holds(&cache, 1)).await;
}

/// P13: a reader that was away while its entries were purged flushes.
#[tokio::test(start_paused = true)]
async fn p13_purged_past_a_reader_is_a_flush() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let mine = log.connect();
    let node = Node::builder("test")
        .log(mine.clone())
        .clock(invalidation_core::NodeClock::Custom(
            support::FollowingClock::new(),
        ))
        .start()
        .await
        .unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    mine.faults().reads().fail_all(ErrorKind::Unavailable);
    for _ in 0..3 {
        log.append(&[of_users(Scope::keys(["1"]))]).await.unwrap();
    }
    log.append(&[of_users(Scope::keys(["other"]))])
        .await
        .unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    log.purge(Duration::from_secs(1)).await.unwrap();
    assert!(holds(&cache, 1));
    mine.faults().reads().heal();
    eventually("flushed", async || !holds(&cache, 1)).await;
}

/// P12: a log entry that cannot be decoded flushes the cache it names, and that alone.
#[tokio::test(start_paused = true)]
async fn p12_an_undecodable_entry_flushes_its_cache() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    let other: invalidation_core::Cache<i64, u64> =
        node.cache("roles").capacity(10).build().unwrap();
    read(&cache, &table, 1).await;
    read(&other, &table, 1).await;
    log.faults()
        .inject_undecodable(Some(CacheName::new("users").unwrap()));
    eventually("users is flushed", async || !holds(&cache, 1)).await;
    assert!(holds(&other, 1));
}

/// P12: one that does not even name its cache flushes everything, once: it is no error loop.
#[tokio::test(start_paused = true)]
async fn p12_a_nameless_undecodable_entry_flushes_everything_once() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    log.faults().inject_undecodable(None);
    eventually("flushed", async || !holds(&cache, 1)).await;
    read(&cache, &table, 1).await;
    never("flushed again", Duration::from_secs(3), async || {
        !holds(&cache, 1)
    })
    .await;
}

/// P12: a name that no cache of this node has is ignored, and a key that does not parse widens.
#[tokio::test(start_paused = true)]
async fn p12_unknown_names_are_ignored_and_unknown_keys_widen() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    let unknown = CacheName::new("never heard of").unwrap();
    log.append(&[Entry::new(Invalidation::Cache {
        cache: unknown,
        scope: Scope::All,
    })])
    .await
    .unwrap();
    never("flushed", Duration::from_secs(2), async || {
        !holds(&cache, 1)
    })
    .await;
    log.append(&[of_users(Scope::keys(["not a number"]))])
        .await
        .unwrap();
    eventually("widened to the cache", async || !holds(&cache, 1)).await;
}

/// Fails or panics as told, and counts.
#[derive(Default)]
struct Unruly {
    panics: AtomicBool,
    applied: AtomicU64,
    flushed: AtomicU64,
}

impl InvalidationTarget for Unruly {
    fn apply(&self, _scope: &Scope) -> Result<(), BoxError> {
        self.applied.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "as told");
        Err("as told".into())
    }

    fn flush(&self) {
        self.flushed.fetch_add(1, Ordering::SeqCst);
    }
}

/// P9: a target that fails or panics is flushed whole; it blocks no other, and the cursor goes on.
#[tokio::test]
async fn p9_an_unruly_target_is_flushed_and_blocks_no_other() {
    for panics in [false, true] {
        let (log, table) = (MemoryLog::new(), Table::default());
        let node = on(&log)
            .poll_interval(Duration::from_millis(40))
            .start()
            .await
            .unwrap();
        let unruly = Arc::new(Unruly {
            panics: panics.into(),
            ..Unruly::default()
        });
        let _attached = node.attach("unruly", unruly.clone(), None).unwrap();
        assert_eq!(
            unruly.flushed.load(Ordering::SeqCst),
            1,
            "flushed on attach (P14)"
        );
        let cache = users(&node);
        read(&cache, &table, 1).await;
        let name = CacheName::new("unruly").unwrap();
        log.append(&[
            Entry::new(Invalidation::Cache {
                cache: name,
                scope: Scope::keys(["1"]),
            }),
            of_users(Scope::keys(["1"])),
        ])
        .await
        .unwrap();
        eventually("the other target applied", async || !holds(&cache, 1)).await;
        eventually("it is flushed", async || {
            unruly.flushed.load(Ordering::SeqCst) >= 2
        })
        .await;
        never("applied again", Duration::from_millis(300), async || {
            unruly.applied.load(Ordering::SeqCst) > 1
        })
        .await;
    }
}

/// Hangs in `apply` while it is shut.
#[derive(Default)]
struct Hanging {
    shut: parking_lot::Mutex<bool>,
    opened: parking_lot::Condvar,
    flushed: AtomicU64,
}

impl Hanging {
    fn shut(&self, shut: bool) {
        *self.shut.lock() = shut;
        self.opened.notify_all();
    }
}

impl InvalidationTarget for Hanging {
    fn apply(&self, _scope: &Scope) -> Result<(), BoxError> {
        self.opened.wait_while(&mut self.shut.lock(), |shut| *shut);
        Ok(())
    }

    fn flush(&self) {
        self.flushed.fetch_add(1, Ordering::SeqCst);
    }
}

/// P9, P3: a target that hangs blocks no other; its lease is suspended until a flush has made good for what
/// it missed.
#[tokio::test]
async fn p9_a_hanging_target_blocks_no_other() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log)
        .poll_interval(Duration::from_millis(40))
        .start()
        .await
        .unwrap();
    let hanging = Arc::new(Hanging::default());
    let attached = node
        .attach("hanging", hanging.clone(), Some(Duration::from_secs(5)))
        .unwrap();
    assert!(attached.lease().check().is_ok());
    let cache = users(&node);
    read(&cache, &table, 1).await;
    hanging.shut(true);
    let name = CacheName::new("hanging").unwrap();
    let for_it = || {
        Entry::new(Invalidation::Cache {
            cache: name.clone(),
            scope: Scope::keys(["1"]),
        })
    };
    log.append(&[for_it(), of_users(Scope::keys(["1"]))])
        .await
        .unwrap();
    eventually("the other target applied", async || !holds(&cache, 1)).await;
    eventually("its lease is suspended", async || {
        attached.lease().check().is_err()
    })
    .await;
    log.append(&[for_it()]).await.unwrap();
    hanging.shut(false);
    eventually("its lease is back", async || {
        attached.lease().check().is_ok()
    })
    .await;
    assert!(
        hanging.flushed.load(Ordering::SeqCst) >= 2,
        "a flush covers what it missed"
    );
}

/// P1, P20: a backlog is flushed, and a commit in the middle of that is not lost: the head is taken before
/// the flush.
#[tokio::test(start_paused = true)]
async fn p1_p20_a_backlog_is_flushed_and_loses_nothing() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    log.faults().cap_pages(Some(10));
    read(&cache, &table, 1).await;
    for key in 0..500 {
        log.append(&[of_users(Scope::keys([(1_000 + key).to_string()]))])
            .await
            .unwrap();
    }
    eventually("flushed", async || !holds(&cache, 1)).await;
    read(&cache, &table, 1).await;
    log.append(&[of_users(Scope::keys(["1"]))]).await.unwrap();
    eventually("and the cursor is at the head", async || !holds(&cache, 1)).await;
}

/// P1: what commits between the head and the flush of a backlog is not lost: the head is taken first.
#[tokio::test(start_paused = true)]
async fn p1_a_commit_in_the_middle_of_a_backlog_flush_is_not_lost() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    log.faults().cap_pages(Some(10));
    log.faults().heads().hang();
    let heads = log.faults().heads().begun();
    for key in 0..500 {
        log.append(&[of_users(Scope::keys([(1_000 + key).to_string()]))])
            .await
            .unwrap();
    }
    log.faults().heads().begun_at_least(heads + 1).await; // In the middle.
    read(&cache, &table, 1).await;
    table.write(1, 2);
    log.append(&[of_users(Scope::keys(["1"]))]).await.unwrap();
    log.faults().heads().heal();
    eventually("the new row is read", async || {
        read(&cache, &table, 1).await == 2
    })
    .await;
}
