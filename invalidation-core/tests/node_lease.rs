//! How stale a read may be, and what renews the lease.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{sync::Arc, time::Duration};

use invalidation_core::{
    CacheName, Entry, ErrorKind, Invalidation, InvalidationLog, LoadError, MemoryLog, Node,
    NodeClock, OnStale, Scope,
};
use support::{FollowingClock, Table, eventually, holds, leased, never, read};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(500);
const READ_TIMEOUT: Duration = Duration::from_millis(400);

fn user(key: i64) -> Entry {
    let cache = CacheName::new("users").unwrap();
    Entry::new(Invalidation::Cache {
        cache,
        scope: Scope::keys([key.to_string()]),
    })
}

/// A node with a handle on its own view of the log, and on its clock.
async fn start(log: &MemoryLog) -> (Node, MemoryLog, Arc<FollowingClock>) {
    let (mine, clock) = (log.connect(), FollowingClock::new());
    let builder = Node::builder("test")
        .log(mine.clone())
        .clock(NodeClock::Custom(clock.clone()));
    (builder.start().await.unwrap(), mine, clock)
}

/// P3: a process that was stopped past its lease asks the log before it serves again.
#[tokio::test(start_paused = true)]
async fn p3_a_stopped_process_reads_the_log_before_it_serves() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (node, _, clock) = start(&log).await;
    let cache = leased(&node, Duration::from_secs(2));
    table.write(1, 1);
    assert_eq!(read(&cache, &table, 1).await, 1);
    table.write(1, 2);
    log.append(&[user(1)]).await.unwrap();
    clock.leap(Duration::from_secs(60)); // Stopped: the clock went on, no task ran.
    assert!(!holds(&cache, 1), "nothing may be served now");
    assert_eq!(read(&cache, &table, 1).await, 2);
}

/// P3: with `max_staleness = 0` each read sees what was committed before it began, without any transport.
#[tokio::test(start_paused = true)]
async fn p3_a_strict_read_sees_every_commit_before_it() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (node, _, _) = start(&log).await;
    let cache = leased(&node, Duration::ZERO);
    for value in 0..50 {
        table.write(1, value);
        log.append(&[user(1)]).await.unwrap();
        assert_eq!(read(&cache, &table, 1).await, value);
    }
    let loads = table.loads();
    assert_eq!(read(&cache, &table, 1).await, 49);
    assert_eq!(table.loads(), loads, "and it is a cache all the same");
}

/// P3: strict readers that wait together share log reads, and see what was committed before they came.
#[tokio::test(start_paused = true)]
async fn p3_strict_readers_share_log_reads() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (node, mine, _) = start(&log).await;
    let cache = leased(&node, Duration::ZERO);
    read(&cache, &table, 1).await;
    mine.faults().reads().hang();
    let begun = mine.faults().reads().begun();
    mine.faults().reads().begun_at_least(begun + 1).await; // One read is under way.
    table.write(1, 2);
    log.append(&[user(1)]).await.unwrap();
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let (cache, table) = (cache.clone(), table.clone());
            tokio::spawn(async move { read(&cache, &table, 1).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let before = mine.faults().reads().begun();
    mine.faults().reads().heal();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 2);
    }
    let shared = mine.faults().reads().begun() - before;
    assert!(shared <= 2, "{shared} log reads for 100 readers");
}

/// P4: neither a failed, nor a timed-out, nor a partial read renews the lease.
#[tokio::test(start_paused = true)]
async fn p4_only_a_complete_read_renews() {
    for fault in 0..3 {
        let log = MemoryLog::new();
        let (node, mine, _) = start(&log).await;
        let faults = mine.faults();
        match fault {
            0 => faults.reads().fail_all(ErrorKind::Unavailable),
            1 => faults.reads().hang(),
            _ => {
                faults.hold_back_completeness(true);
                faults.heads().fail_all(ErrorKind::Unavailable);
            }
        }
        let mut age = Duration::ZERO;
        never("renewed", Duration::from_secs(10), async || {
            let now = node.log_age().unwrap();
            now < std::mem::replace(&mut age, now)
        })
        .await;
        assert!(age >= Duration::from_secs(9), "fault {fault}: {age:?}");
    }
}

/// P4: the lease is renewed to the start of the read that proved completeness, not to its end.
#[tokio::test(start_paused = true)]
async fn p4_the_lease_counts_from_the_start_of_the_read() {
    let log = MemoryLog::new();
    let (node, mine, _) = start(&log).await;
    mine.faults().reads().hang();
    let begun = mine.faults().reads().begun();
    mine.faults().reads().begun_at_least(begun + 1).await;
    let started = Instant::now();
    tokio::time::advance(READ_TIMEOUT / 2).await;
    mine.faults().reads().heal();
    mine.faults().reads().finished_at_least(begun + 1).await;
    eventually("renewed", async || node.log_age().unwrap() < POLL).await;
    assert!(
        node.log_age().unwrap() >= started.elapsed(),
        "an age from the end would be smaller"
    );
}

/// P3: when the log cannot be read, reads bypass the cache, fail, or serve, as configured; and stop doing so
/// when it can.
#[tokio::test(start_paused = true)]
async fn p3_on_stale_bypasses_fails_or_serves() {
    for on_stale in [OnStale::Bypass, OnStale::Fail, OnStale::Serve] {
        let (log, table) = (MemoryLog::new(), Table::default());
        let (node, mine, _) = start(&log).await;
        let cache = node
            .cache::<i64, u64>("users")
            .capacity(10)
            .ttl(Duration::from_secs(3_600))
            .max_staleness(Duration::from_secs(2))
            .on_stale(on_stale)
            .build()
            .unwrap();
        table.write(1, 1);
        read(&cache, &table, 1).await;
        mine.faults().reads().fail_all(ErrorKind::Unavailable);
        table.write(1, 2);
        log.append(&[user(1)]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await; // Virtual: past the lease.
        let seen = cache.get_or_load(&1, || table.load(1)).await;
        match on_stale {
            OnStale::Bypass => assert_eq!(seen.unwrap(), 2),
            OnStale::Fail => assert!(matches!(seen, Err(LoadError::Stale))),
            OnStale::Serve => assert_eq!(seen.unwrap(), 1),
        }
        mine.faults().reads().heal();
        eventually("served under the lease again", async || {
            cache
                .get_or_load(&1, || table.load(1))
                .await
                .is_ok_and(|value| value == 2)
                && holds(&cache, 1)
        })
        .await;
    }
}

/// P16: a log that is down is not hammered at the rate of reads.
#[tokio::test(start_paused = true)]
async fn p16_a_log_that_is_down_is_not_hammered() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (node, mine, _) = start(&log).await;
    let cache = leased(&node, Duration::ZERO);
    mine.faults().reads().fail_all(ErrorKind::Unavailable);
    let (begun, began) = (mine.faults().reads().begun(), Instant::now());
    for _ in 0..2_000 {
        read(&cache, &table, 1).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (reads, periods) = (
        mine.faults().reads().begun() - begun,
        began.elapsed().div_duration_f64(POLL),
    );
    assert!(
        reads as f64 <= 10.0 + 4.0 * periods,
        "{reads} reads in {periods} periods"
    );
}

/// P20: when the log heals, the lease is renewed within 1.2 poll intervals and the read timeout. Virtual
/// time: nothing here depends on the machine.
#[tokio::test(start_paused = true)]
async fn p20_the_lease_is_back_soon_after_the_log_is() {
    for _ in 0..20 {
        let log = MemoryLog::new();
        let (node, mine, _) = start(&log).await;
        mine.faults().reads().fail_all(ErrorKind::Unavailable);
        tokio::time::sleep(Duration::from_secs(30)).await;
        mine.faults().reads().heal();
        let healed = Instant::now();
        eventually("renewed", async || node.log_age().unwrap() < POLL / 2).await;
        assert!(
            healed.elapsed() <= POLL.mul_f64(1.2) + READ_TIMEOUT,
            "took {:?}",
            healed.elapsed()
        );
    }
}

/// P17: clocks that differ by hours, on nodes of one cluster, change nothing.
#[tokio::test(start_paused = true)]
async fn p17_clocks_an_hour_apart_change_nothing() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (a, _, ahead) = start(&log).await;
    let (b, _, _) = start(&log).await;
    ahead.leap(Duration::from_secs(3_599)); // One more second, and the TTL would end it.
    let (at_a, at_b) = (
        leased(&a, Duration::from_secs(1)),
        leased(&b, Duration::from_secs(1)),
    );
    for value in 1..20 {
        table.write(1, value);
        let writer = if value % 2 == 0 { &at_a } else { &at_b };
        writer.invalidate(&1).await.unwrap();
        assert_eq!(read(writer, &table, 1).await, value);
        tokio::time::sleep(Duration::from_millis(1_001)).await; // Virtual: past max_staleness.
        assert_eq!(
            (read(&at_a, &table, 1).await, read(&at_b, &table, 1).await),
            (value, value)
        );
    }
}

/// P14: a node that starts although its log is away caches nothing until it has a cursor.
#[tokio::test(start_paused = true)]
async fn p14_a_start_in_bypass_caches_nothing_until_there_is_a_cursor() {
    let (log, table) = (MemoryLog::new(), Table::default());
    log.faults().heads().fail_all(ErrorKind::Unavailable);
    let refused = Node::builder("test")
        .log(log.clone())
        .start()
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    let node = Node::builder("test")
        .log(log.clone())
        .clock(NodeClock::Custom(FollowingClock::new()))
        .start_in_bypass()
        .start()
        .await
        .unwrap();
    let cache = support::users(&node);
    read(&cache, &table, 1).await;
    assert!(!holds(&cache, 1));
    log.faults().heads().heal();
    eventually("cached", async || {
        read(&cache, &table, 1).await;
        holds(&cache, 1)
    })
    .await;
}

/// P3: a log that may answer stale cannot back `max_staleness`, nor can no log at all.
#[tokio::test(start_paused = true)]
async fn p3_max_staleness_needs_a_log() {
    let node = Node::builder("test").start().await.unwrap();
    let refused = node
        .cache::<i64, u64>("users")
        .max_staleness(Duration::ZERO)
        .build()
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(refused.to_string().contains("users"), "{refused}");
}
