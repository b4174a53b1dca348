//! Everything at once, and readers that are wrong.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use invalidation_core::{InvalidationLog, JoinsLog, Nonce};
use invalidation_testbed::Server;
use invalidation_transport_pg::PgLog;
use libtest_mimic::Trial;
use rand::{RngExt, rngs::StdRng};

use crate::bed::{self, connect, database, drain, installed, key, run, url};

const WRITERS: u64 = 24;

/// For how long they write.
const WRITING: Duration = Duration::from_secs(4);

pub(crate) fn trials() -> Vec<Trial> {
    vec![bed::trial(
        "P1_no_row_is_missed_and_none_comes_twice",
        bed::own,
        |server| async move { no_row_is_missed_and_none_comes_twice(&server).await },
    )]
}

/// P1: beside writers with savepoints, rollbacks, prepared and held transactions, and writers in another database, each
/// committed row is read once, while readers that go by ids, or by a horizon and ids, miss rows.
async fn no_row_is_missed_and_none_comes_twice(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let elsewhere = bed::url(server.address(), &database(server).await);
    let log = Arc::new(installed(&url).await);
    let mut admin = connect(&elsewhere).await;
    run(&mut admin, "CREATE TABLE t (n int)").await;
    let head = log.head().await.unwrap();
    let end = Instant::now() + WRITING;
    let writers: Vec<_> = (0..WRITERS)
        .map(|seed| tokio::spawn(write(Arc::clone(&log), url.clone(), seed, end)))
        .collect();
    let other = tokio::spawn(async move {
        let mut client = connect(&elsewhere).await;
        while Instant::now() < end {
            run(
                &mut client,
                "BEGIN; INSERT INTO t VALUES (1); SELECT pg_sleep(0.02); COMMIT",
            )
            .await;
        }
    });
    let done = Arc::new(AtomicBool::new(false));
    let by_id = tokio::spawn(wrong(url.clone(), BY_ID, Arc::clone(&done)));
    let by_horizon = tokio::spawn(wrong(url.clone(), BY_HORIZON, Arc::clone(&done)));

    let mut found = Vec::new();
    let mut cursor = head;
    while !writers.iter().all(|writer| writer.is_finished()) {
        let (entries, next) = drain(&log, &cursor).await.unwrap();
        found.extend(entries.into_iter().map(|entry| entry.nonce));
        cursor = next;
    }
    let mut committed = HashSet::new();
    for writer in writers {
        committed.extend(writer.await.unwrap());
    }
    other.await.unwrap();
    done.store(true, Ordering::SeqCst);
    found.extend(
        drain(&log, &cursor)
            .await
            .unwrap()
            .0
            .into_iter()
            .map(|entry| entry.nonce),
    );
    let once: HashSet<_> = found.iter().copied().collect();
    assert_eq!(found.len(), once.len(), "none comes twice");
    assert_eq!(once, committed, "each that was committed, and no other");
    for (reader, name) in [(by_id, "ids"), (by_horizon, "a horizon and ids")] {
        let read = reader.await.unwrap();
        assert!(
            committed.iter().any(|nonce| !read.contains(nonce)),
            "the scene is too calm: who reads by {name} missed nothing of {}",
            committed.len()
        );
    }
}

async fn write(log: Arc<PgLog>, url: String, seed: u64, end: Instant) -> Vec<Nonce> {
    let mut random: StdRng = rand::SeedableRng::seed_from_u64(seed);
    let mut client = connect(&url).await;
    let mut committed = Vec::new();
    let mut round = 0;
    while Instant::now() < end {
        round += 1;
        let mut own = Vec::new();
        run(&mut client, "BEGIN").await;
        for _ in 0..random.random_range(1..4) {
            let entry = key(&format!("{seed}/{round}"));
            let one = std::slice::from_ref(&entry);
            if random.random_bool(0.3) {
                run(&mut client, "SAVEPOINT here").await;
                client.append_in(&log, one).await.unwrap();
                run(&mut client, "ROLLBACK TO here").await;
            } else {
                if random.random_bool(0.3) {
                    run(&mut client, "SAVEPOINT kept").await;
                }
                client.append_in(&log, one).await.unwrap();
                own.push(entry.nonce);
            }
        }
        // Some are held for longer than others write.
        let held = if random.random_bool(0.05) { 200 } else { 8 };
        tokio::time::sleep(Duration::from_millis(random.random_range(0..held))).await;
        let commits = random.random_bool(0.8);
        let word = if commits { "COMMIT" } else { "ROLLBACK" };
        // A server keeps few of these.
        if seed < 5 && random.random_bool(0.3) {
            run(&mut client, &format!("PREPARE TRANSACTION '{seed}'")).await;
            run(&mut client, &format!("{word} PREPARED '{seed}'")).await;
        } else {
            run(&mut client, word).await;
        }
        if commits {
            committed.extend(own);
        }
    }
    committed
}

const BY_ID: &str = "SELECT id, nonce FROM cache_invalidation.log WHERE id > ";
const BY_HORIZON: &str = "SELECT id, nonce FROM cache_invalidation.log
    WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) AND id > ";

/// Reads on behind the greatest id it has seen.
async fn wrong(url: String, query: &str, done: Arc<AtomicBool>) -> HashSet<Nonce> {
    let mut client = connect(&url).await;
    let (mut read, mut last) = (HashSet::new(), 0_i64);
    loop {
        let finished = done.load(Ordering::SeqCst);
        for row in run(&mut client, &format!("{query}{last}")).await {
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
