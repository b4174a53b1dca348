//! Many writers at once, and readers that stamp beside each other.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use invalidation_core::{Cursor, JoinsLog, Nonce};
use invalidation_log_mysql::MySqlLog;
use invalidation_testbed::Server;
use libtest_mimic::Trial;
use rand::{RngExt, rngs::StdRng};

use crate::bed::{connect, drain, installed, key, on_own, run, scene};

const WRITERS: u64 = 24;

/// For how long they write.
const WRITING: Duration = Duration::from_secs(4);

pub(crate) fn trials() -> Vec<Trial> {
    vec![on_own!(p1_no_row_is_missed_and_none_comes_twice)]
}

/// P1: beside writers with savepoints, rollbacks, prepared and held transactions each of two readers, which stamp beside
/// each other, reads each committed row once, while one that goes by ids misses rows.
async fn p1_no_row_is_missed_and_none_comes_twice(server: &Server) {
    let (log, url, head) = scene(server).await;
    let log = Arc::new(log);
    let end = Instant::now() + WRITING;
    let writers: Vec<_> = (0..WRITERS)
        .map(|seed| tokio::spawn(write(Arc::clone(&log), url.clone(), seed, end)))
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let by_id = tokio::spawn(by_id(url.clone(), Arc::clone(&done)));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let reader = installed(&url).await;
        readers.push(tokio::spawn(read(reader, head.clone(), Arc::clone(&done))));
    }
    let mut committed = HashSet::new();
    for writer in writers {
        committed.extend(writer.await.unwrap());
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        let found = reader.await.unwrap();
        let once: HashSet<_> = found.iter().copied().collect();
        assert_eq!(found.len(), once.len(), "none comes twice");
        assert_eq!(once, committed, "each that was committed, and no other");
    }
    let by_id = by_id.await.unwrap();
    let missed = committed
        .iter()
        .filter(|nonce| !by_id.contains(nonce))
        .count();
    assert!(
        missed > 0,
        "the scene is too calm: who reads by ids missed nothing of {}",
        committed.len()
    );
}

async fn write(log: Arc<MySqlLog>, url: String, seed: u64, end: Instant) -> Vec<Nonce> {
    let mut random: StdRng = rand::SeedableRng::seed_from_u64(seed);
    let mut client = connect(&url).await;
    let mut committed = Vec::new();
    let mut round = 0;
    while Instant::now() < end {
        round += 1;
        let mut own = Vec::new();
        // A few by the protocol for transactions over several servers.
        let prepared = (seed < 5 && random.random_bool(0.3)).then(|| format!("'{seed}/{round}'"));
        let (begin, ready, commit, undo) = match &prepared {
            None => ("BEGIN".into(), None, "COMMIT".into(), "ROLLBACK".into()),
            Some(name) => (
                format!("XA START {name}"),
                Some(format!("XA END {name}; XA PREPARE {name}")),
                format!("XA COMMIT {name}"),
                format!("XA ROLLBACK {name}"),
            ),
        };
        run(&mut client, &begin).await;
        for _ in 0..random.random_range(1..4) {
            let entry = key(&format!("{seed}/{round}"));
            let one = std::slice::from_ref(&entry);
            if random.random_bool(0.3) {
                run(&mut client, "SAVEPOINT here").await;
                client.append_in(&log, one).await.unwrap();
                run(&mut client, "ROLLBACK TO here").await;
            } else {
                client.append_in(&log, one).await.unwrap();
                own.push(entry.nonce);
            }
        }
        // Some are held for longer than others write.
        let held = if random.random_bool(0.05) { 200 } else { 8 };
        tokio::time::sleep(Duration::from_millis(random.random_range(0..held))).await;
        if let Some(ready) = ready {
            run(&mut client, &ready).await;
        }
        if random.random_bool(0.8) {
            run(&mut client, &commit).await;
            committed.extend(own);
        } else {
            run(&mut client, &undo).await;
        }
    }
    committed
}

async fn read(log: MySqlLog, head: Cursor, done: Arc<AtomicBool>) -> Vec<Nonce> {
    let mut found = Vec::new();
    let mut cursor = head;
    loop {
        let finished = done.load(Ordering::SeqCst);
        let (entries, next) = drain(&log, &cursor).await.unwrap();
        found.extend(entries.into_iter().map(|entry| entry.nonce));
        cursor = next;
        if finished {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

/// Reads on behind the greatest id it has seen.
async fn by_id(url: String, done: Arc<AtomicBool>) -> HashSet<Nonce> {
    let mut client = connect(&url).await;
    let (mut read, mut last) = (HashSet::new(), 0_i64);
    loop {
        let finished = done.load(Ordering::SeqCst);
        let behind = format!("SELECT id, nonce FROM cache_invalidation_log WHERE id > {last}");
        for row in run(&mut client, &behind).await {
            use sqlx::Row;
            last = last.max(row.get(0));
            read.insert(Nonce(row.get::<i64, _>(1).cast_unsigned()));
        }
        if finished {
            return read;
        }
        tokio::task::yield_now().await;
    }
}
