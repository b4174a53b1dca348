//! Writers: transactions, failures, cancellation, shutdown.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use invalidation_core::{
    CacheSettings, ErrorKind, MemoryHub, MemoryLog, Node, NodeClock, NodeSettings,
};
use support::{FollowingClock, Table, eventually, holds, never, on, read, users, via};

/// P2, P6: an invalidation that joined a transaction is applied once the commit returns, here and elsewhere.
#[tokio::test(start_paused = true)]
async fn p2_p6_a_commit_invalidates_here_at_once_and_elsewhere_soon() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let a = on(&log).transport(via(&hub)).start().await.unwrap();
    let b = on(&log).start().await.unwrap();
    let (at_a, at_b) = (users(&a), users(&b));
    read(&at_a, &table, 1).await;
    read(&at_b, &table, 1).await;
    let mut tx = log.begin();
    let rows = table.clone();
    tx.and_write(move || rows.write(1, 2));
    let pending = at_a.invalidate_in(&mut tx, [&1]).await.unwrap();
    assert!(log.is_empty(), "nothing before the commit");
    pending.commit(tx.commit()).await.unwrap();
    assert_eq!(read(&at_a, &table, 1).await, 2);
    eventually("b reads the new row", async || {
        read(&at_b, &table, 1).await == 2
    })
    .await;
}

/// P5: while a transaction is open its keys are not filled: a loader could read uncommitted rows.
#[tokio::test(start_paused = true)]
async fn p5_nothing_is_filled_while_its_transaction_is_open() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    let mut tx = log.begin();
    let pending = cache.invalidate_in(&mut tx, [&1]).await.unwrap();
    table.write(1, 666); // Uncommitted, and seen by a loader on the same connection.
    read(&cache, &table, 1).await;
    assert!(!holds(&cache, 1));
    read(&cache, &table, 2).await;
    assert!(holds(&cache, 2), "other keys are");
    table.write(1, 1);
    tx.rollback();
    pending.rolled_back();
    assert_eq!(read(&cache, &table, 1).await, 1);
    assert!(holds(&cache, 1), "and it is filled again afterwards");
}

/// P1, P8: a pending that is dropped, or whose commit fails, is applied here and told as a claim.
#[tokio::test(start_paused = true)]
async fn p1_an_unknown_outcome_is_applied_and_claimed() {
    for case in 0..3 {
        let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
        let a = on(&log).transport(via(&hub)).start().await.unwrap();
        let b = on(&log).transport(via(&hub)).start().await.unwrap();
        let (at_a, at_b) = (users(&a), users(&b));
        read(&at_a, &table, 1).await;
        read(&at_b, &table, 1).await;
        let mut tx = log.begin();
        let pending = at_a.invalidate_in(&mut tx, [&1]).await.unwrap();
        match case {
            0 => drop(pending),
            1 => {
                log.faults().commits().fail_next(1, ErrorKind::Unavailable);
                pending.commit(tx.commit()).await.unwrap_err();
            }
            _ => {
                log.faults().commits().hang();
                let commit = pending.commit(tx.commit());
                tokio::time::timeout(Duration::from_millis(50), commit)
                    .await
                    .unwrap_err();
                log.faults().commits().heal();
            }
        }
        assert!(!holds(&at_a, 1), "case {case}");
        eventually("claimed to b", async || !holds(&at_b, 1)).await;
        read(&at_a, &table, 1).await;
        assert!(holds(&at_a, 1), "case {case}: the quarantine is over");
    }
}

/// P1: an append whose answer is lost is told as a claim, and what did get into the log mends the rest.
#[tokio::test(start_paused = true)]
async fn p1_an_append_of_unknown_outcome_is_applied_and_claimed() {
    for case in 0..3 {
        let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
        let mine = log.connect();
        let a = Node::builder("test")
            .log(mine.clone())
            .transport(via(&hub))
            .clock(NodeClock::Custom(FollowingClock::new()))
            .start()
            .await
            .unwrap();
        let b = on(&log).transport(via(&hub)).start().await.unwrap();
        let (at_a, at_b) = (users(&a), users(&b));
        read(&at_a, &table, 1).await;
        read(&at_b, &table, 1).await;
        match case {
            0 => {
                mine.faults().appends().fail_next(1, ErrorKind::ReadOnly);
                assert_eq!(
                    at_a.invalidate(&1).await.unwrap_err().kind,
                    ErrorKind::ReadOnly
                );
            }
            1 => {
                mine.faults().appends().hang();
                assert_eq!(
                    at_a.invalidate(&1).await.unwrap_err().kind,
                    ErrorKind::TimedOut
                );
            }
            _ => {
                mine.faults().appends().hang();
                let cancelled =
                    tokio::time::timeout(Duration::from_millis(10), at_a.invalidate(&1)).await;
                assert!(cancelled.is_err());
            }
        }
        assert!(!holds(&at_a, 1), "case {case}");
        eventually("claimed to b", async || !holds(&at_b, 1)).await;
    }
}

/// Several caches and everything, in one transaction.
#[tokio::test(start_paused = true)]
async fn p2_changes_of_several_caches_are_one_step() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (a, b) = (
        on(&log).start().await.unwrap(),
        on(&log).start().await.unwrap(),
    );
    let (users_a, users_b) = (users(&a), users(&b));
    let roles_a = a.cache::<i64, u64>("roles").capacity(10).build().unwrap();
    let roles_b = b.cache::<i64, u64>("roles").capacity(10).build().unwrap();
    for cache in [&users_a, &users_b, &roles_a, &roles_b] {
        read(cache, &table, 1).await;
    }
    let mut tx = log.begin();
    let changes = a.changes().keys(&users_a, [&1]).clear(&roles_a);
    let pending = changes.log_in(&mut tx).await.unwrap();
    let receipt = pending.commit(tx.commit()).await.unwrap();
    assert_eq!(receipt.positions().len(), 2);
    assert!(!holds(&users_a, 1) && !holds(&roles_a, 1));
    eventually("both, elsewhere", async || {
        !holds(&users_b, 1) && !holds(&roles_b, 1)
    })
    .await;
}

/// P11: more keys than a change may name widen to the cache.
#[tokio::test(start_paused = true)]
async fn p11_a_bulk_change_widens() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    read(&cache, &table, -1).await;
    let many: Vec<i64> = (0..100_001).collect();
    let receipt = cache.invalidate_many(&many).await.unwrap();
    assert_eq!(receipt.positions().len(), 1);
    assert!(!holds(&cache, -1));
    read(&cache, &table, -1).await;
    let receipt = cache.invalidate_many(&many[..2_500]).await.unwrap();
    assert_eq!(receipt.positions().len(), 3);
    assert!(holds(&cache, -1));
}

/// A second cache of the same name is an error, until the first is gone.
#[tokio::test(start_paused = true)]
async fn a_cache_name_is_taken_while_its_cache_lives() {
    let node = Node::builder("test").start().await.unwrap();
    let first = users(&node);
    let refused = node.cache::<i64, u64>("users").build().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    drop(first);
    users(&node);
    assert_eq!(
        node.cache::<i64, u64>("").build().unwrap_err().kind,
        ErrorKind::Invalid
    );
}

/// P3: after the end of its node a cache serves nothing it holds, and says so to who invalidates.
#[tokio::test(start_paused = true)]
async fn p3_an_ended_node_leaves_its_caches_in_bypass() {
    for shutdown in [true, false] {
        let (log, table) = (MemoryLog::new(), Table::default());
        let node = on(&log).start().await.unwrap();
        let cache = users(&node);
        table.write(1, 1);
        read(&cache, &table, 1).await;
        if shutdown {
            node.shutdown(Duration::from_secs(1)).await.unwrap();
            node.shutdown(Duration::from_secs(1)).await.unwrap();
        } else {
            drop(node);
        }
        table.write(1, 2);
        assert!(!holds(&cache, 1));
        assert_eq!(read(&cache, &table, 1).await, 2);
        assert_eq!(
            cache.invalidate(&1).await.unwrap_err().kind,
            ErrorKind::Closed
        );
    }
}

/// A shutdown publishes what still waits, and does not outlive its deadline.
#[tokio::test(start_paused = true)]
async fn shutdown_drains_within_its_deadline() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let out = via(&hub);
    let a = on(&log).transport(out.clone()).start().await.unwrap();
    let b = on(&log)
        .poll_interval(Duration::from_secs(300))
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    let (at_a, at_b) = (users(&a), users(&b));
    for key in 0..100 {
        read(&at_b, &table, key).await;
    }
    for key in 0..100 {
        drop(at_a.invalidate(&key).await.unwrap());
    }
    a.shutdown(Duration::from_secs(5)).await.unwrap();
    eventually("all arrived", async || {
        (0..100).all(|key| !holds(&at_b, key))
    })
    .await;

    let stuck = via(&hub);
    let c = on(&log).transport(stuck.clone()).start().await.unwrap();
    stuck.faults().publishes().hang();
    drop(users(&c).invalidate(&1).await.unwrap());
    let late = c.shutdown(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::TimedOut);
}

/// P5: without a transaction, nothing is published for reads that fill a cache.
#[tokio::test(start_paused = true)]
async fn fills_never_broadcast() {
    let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
    let a = on(&log).transport(via(&hub)).start().await.unwrap();
    let b = on(&log).transport(via(&hub)).start().await.unwrap();
    let (at_a, at_b) = (users(&a), users(&b));
    read(&at_b, &table, 1).await;
    read(&at_a, &table, 1).await;
    never("dropped", Duration::from_secs(2), async || !holds(&at_b, 1)).await;
    assert!(log.is_empty());
}

/// What the operator sets wins over the code; a default for negative values concerns only caches that have
/// some, and the same of a named cache without any is refused.
#[tokio::test(start_paused = true)]
async fn operators_settings_win_and_their_defaults_fit_every_cache() {
    let mut defaults = CacheSettings::default();
    defaults.negative_ttl = Some(Duration::from_secs(1));
    let mut strict = CacheSettings::default();
    strict.max_staleness = Some(Duration::ZERO);
    let mut wrong = CacheSettings::default();
    wrong.negative_ttl = Some(Duration::from_secs(1));
    let node = Node::builder("test")
        .log(MemoryLog::new())
        .cache_defaults(defaults)
        .cache_settings("roles", strict)
        .cache_settings("wrong", wrong)
        .start()
        .await
        .unwrap();
    let table = Table::default();
    let plain = users(&node);
    read(&plain, &table, 1).await;
    assert!(holds(&plain, 1));
    let roles = node.cache::<i64, u64>("roles").build().unwrap();
    read(&roles, &table, 1).await;
    assert!(
        !holds(&roles, 1),
        "a strict read is never served without asking the log"
    );
    let refused = node.cache::<i64, u64>("wrong").build().unwrap_err();
    assert!(refused.to_string().contains("negative_ttl"), "{refused}");
}

/// A transport too small for any invalidation, and settings that cannot work, are refused at start.
#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_work_is_refused() {
    let small = MemoryHub::new().with_max_frame(64);
    let refused = Node::builder("test")
        .transport(via(&small))
        .start()
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    let mut settings = NodeSettings::default();
    settings.read_timeout = settings.poll_interval;
    let refused = Node::builder("test")
        .settings(settings)
        .start()
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("read_timeout"), "{refused}");
    assert_eq!(
        Node::builder("").start().await.unwrap_err().kind,
        ErrorKind::Invalid
    );
    let down = via(&MemoryHub::new());
    down.faults().subscribes().fail_all(ErrorKind::Denied);
    assert_eq!(
        Node::builder("test")
            .transport(down)
            .start()
            .await
            .unwrap_err()
            .kind,
        ErrorKind::Denied
    );
    let away = via(&MemoryHub::new());
    away.faults().subscribes().fail_all(ErrorKind::Unavailable);
    Node::builder("test")
        .log(MemoryLog::new())
        .transport(away)
        .start()
        .await
        .unwrap();
}
