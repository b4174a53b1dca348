//! Transactions that are open while caches come and go.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use invalidation_core::{CacheName, MemoryLog, Scope};
use support::{Table, holds, on, read, users};

/// P5: a cache that is built while a transaction on everything is open is filled again once that has ended.
#[tokio::test(start_paused = true)]
async fn p5_a_cache_built_while_a_transaction_is_open_is_filled_after_it() {
    for everything in [true, false] {
        let (log, table) = (MemoryLog::new(), Table::default());
        let node = on(&log).start().await.unwrap();
        let mut tx = log.begin();
        let changes = match everything {
            true => node.changes().everything(),
            false => node
                .changes()
                .scope(CacheName::new("users").unwrap(), Scope::All),
        };
        let pending = changes.log_in(&mut tx).await.unwrap();
        let cache = users(&node);
        pending.commit(tx.commit()).await.unwrap();
        read(&cache, &table, 1).await;
        assert!(holds(&cache, 1), "everything: {everything}");
    }
}

/// P5: the end of a transaction that a cache never saw leaves the quarantine of another one standing.
#[tokio::test(start_paused = true)]
async fn p5_an_older_transaction_does_not_end_the_quarantine_of_a_newer_one() {
    for whole in [true, false] {
        let (log, table) = (MemoryLog::new(), Table::default());
        let node = on(&log).start().await.unwrap();
        let scope = if whole {
            Scope::All
        } else {
            Scope::keys(["1"])
        };
        let name = CacheName::new("users").unwrap();
        let (mut before, mut after) = (log.begin(), log.begin());
        let older = node.changes().scope(name.clone(), scope.clone());
        let older = older.log_in(&mut before).await.unwrap();
        let cache = users(&node);
        let newer = node.changes().scope(name, scope);
        let newer = newer.log_in(&mut after).await.unwrap();
        older.commit(before.commit()).await.unwrap();
        read(&cache, &table, 1).await;
        assert!(!holds(&cache, 1), "the newer one is open (whole: {whole})");
        newer.commit(after.commit()).await.unwrap();
        read(&cache, &table, 1).await;
        assert!(holds(&cache, 1), "whole: {whole}");
    }
}

/// P5: a cache that is built while a transaction is open keeps nothing that it covers: a loader could read its
/// uncommitted rows.
#[tokio::test(start_paused = true)]
async fn p5_a_cache_built_while_a_transaction_is_open_keeps_nothing_of_it() {
    for scope in [Scope::All, Scope::keys(["1"])] {
        let (log, table) = (MemoryLog::new(), Table::default());
        let node = on(&log).start().await.unwrap();
        let mut tx = log.begin();
        let changes = node
            .changes()
            .scope(CacheName::new("users").unwrap(), scope.clone());
        let pending = changes.log_in(&mut tx).await.unwrap();
        let cache = users(&node);
        read(&cache, &table, 1).await;
        assert!(!holds(&cache, 1), "{scope:?}");
        tx.rollback();
        pending.rolled_back();
        read(&cache, &table, 1).await;
        assert!(holds(&cache, 1), "{scope:?}");
    }
}
