//! A database that is locked, read-only, full, or none at all; callers that go away.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::{future::Future, path::Path, sync::Arc, task::Poll, time::Duration};

use invalidation_core::{
    Completeness, Error, ErrorKind, InvalidationLog, JoinsLog, Page, ReadRequest, Retry,
};
use invalidation_log_sqlite::{Access, Durability, SqliteLog};
use sqlx::Connection;
use support::{DEADLINE, Database, count, drain, entries, execute, keys, start};

const ROWS: &str = "SELECT count(*) FROM cache_invalidation_log";

/// P16: while another program holds the write lock an append fails as temporary, and reads go on.
#[tokio::test]
async fn a_locked_database_fails_appends_alone() {
    let database = Database::new();
    database.log().await;
    let log = SqliteLog::builder(&database.path)
        .append_timeout(Duration::from_millis(50))
        .open()
        .await
        .unwrap();
    let head = log.head().await.unwrap();
    let mut other = database.connect().await;
    let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = log.append(&[keys(["1"])]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TimedOut, "{refused}");
    assert_eq!(refused.retry, Retry::Temporary);
    assert!(drain(&log, &head, 1).await.0.is_empty());
    transaction.rollback().await.unwrap();
    log.append(&[keys(["1"])]).await.unwrap();
    assert_eq!(drain(&log, &head, 1).await.0.len(), 1);
}

/// P4: a read that meets an exclusive lock fails as temporary, and never claims to be complete.
#[tokio::test]
async fn an_exclusive_lock_fails_reads() {
    let database = Database::new();
    let log = database.log().await;
    log.close().await.unwrap();
    // Only outside WAL mode can a writer lock readers out.
    let mut other = database.connect().await;
    execute(&mut other, "PRAGMA journal_mode = DELETE").await;
    let log = SqliteLog::builder(&database.path)
        .read_timeout(Duration::from_millis(20))
        .open()
        .await
        .unwrap();
    let head = log.head().await.unwrap();
    let request = ReadRequest::new(&head, start(1));
    let transaction = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let refused = log.read(request.clone()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TimedOut, "{refused}");
    assert_eq!(refused.retry, Retry::Temporary);
    transaction.rollback().await.unwrap();
    assert!(log.read(request).await.is_ok());
}

/// Asserts that `task` waits while `lock` is held, and that it is done after.
async fn waits_for(
    lock: sqlx::Transaction<'_, sqlx::Sqlite>,
    mut task: tokio::task::JoinHandle<Result<(), invalidation_core::Error>>,
) {
    let early = tokio::time::timeout(Duration::from_millis(50), &mut task).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    lock.rollback().await.unwrap();
    tokio::time::timeout(DEADLINE, task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

/// Installing and attaching wait for the locks that the service holds, instead of failing its start.
#[tokio::test]
async fn install_and_attach_wait_for_locks() {
    let database = Database::new();
    let log = Arc::new(SqliteLog::open(&database.path).await.unwrap());
    let mut other = database.connect().await;
    execute(&mut other, "CREATE TABLE users (id INTEGER PRIMARY KEY)").await;
    let install = || {
        let log = log.clone();
        tokio::spawn(async move { log.install().await })
    };

    // A reader, before the database is in WAL mode.
    let mut reads = other.begin().await.unwrap();
    count(&mut reads, "SELECT count(*) FROM users").await;
    waits_for(reads, install()).await;

    // A writer, before there are tables, and before there are triggers.
    execute(&mut other, "DROP TABLE cache_invalidation_meta").await;
    let writes = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    waits_for(writes, install()).await;
    let writes = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let attach = tokio::spawn({
        let log = log.clone();
        async move {
            let attach = invalidation_log_sqlite::Attach::to(support::cache("users"));
            log.attach("users", &attach).await
        }
    });
    waits_for(writes, attach).await;
}

/// A process with read access alone installs nothing, reads, and is told what its appends lack.
#[tokio::test]
async fn a_read_only_process_reads() {
    let database = Database::new();
    let writer = database.log().await;
    let log = SqliteLog::builder(&database.path)
        .access(Access::ReadOnly)
        .open()
        .await
        .unwrap();
    log.install().await.unwrap();
    let head = log.head().await.unwrap();
    writer.append(&[keys(["1"])]).await.unwrap();
    assert_eq!(drain(&log, &head, 1).await.0.len(), 1);
    writer.append(&[keys(["1"])]).await.unwrap();
    for refused in [
        log.append(&[keys(["2"])]).await.map(|_| ()),
        log.purge(Duration::ZERO).await.map(|_| ()),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::ReadOnly, "{refused}");
        assert!(refused.message.contains("write access"), "{refused}");
    }
    let absent = Database::new();
    let refused = SqliteLog::builder(&absent.path)
        .access(Access::ReadOnly)
        .open()
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(!absent.path.exists());
}

/// A full database refuses appends as a whole, says what to do, and takes them again when there is room.
#[tokio::test]
async fn a_full_database_refuses_appends() {
    let database = Database::new();
    let full = database.log().await;
    let head = full.head().await.unwrap();
    let pages = count(&mut database.connect().await, "PRAGMA page_count").await;
    let log = SqliteLog::builder(&database.path)
        .max_pages(u32::try_from(pages).unwrap())
        .open()
        .await
        .unwrap();
    let large = keys([str::repeat("x", 100_000)]);
    let refused = log.append(&[keys(["1"]), large]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::ReadOnly, "{refused}");
    assert!(refused.message.contains("free space"), "{refused}");
    assert!(drain(&log, &head, 1).await.0.is_empty());
    log.append(&[keys(["1"])]).await.unwrap();
    assert_eq!(drain(&full, &head, 1).await.0.len(), 1);
}

/// What cannot be opened is refused with what to do about it.
#[tokio::test]
async fn what_is_no_database_is_refused() {
    let database = Database::new();
    std::fs::write(&database.path, str::repeat("not a database\n", 100)).unwrap();
    let log = SqliteLog::open(&database.path).await;
    let refused = match log {
        Err(refused) => refused,
        Ok(log) => log.install().await.unwrap_err(),
    };
    assert_eq!(refused.kind, ErrorKind::Incompatible, "{refused}");
    let named = |refused: &Error, path: &Path| {
        let path = path.display().to_string();
        assert!(refused.to_string().contains(&path), "{refused}");
    };
    named(&refused, &database.path);

    let absent = Database::new();
    for nowhere in [
        absent.folder.path().into(),
        absent.path.join("no/such/folder/x.db"),
    ] {
        let refused = SqliteLog::open(&nowhere).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused}");
        named(&refused, &nowhere);
    }
    let kind = async |builder: invalidation_log_sqlite::SqliteLogBuilder| {
        builder.open().await.unwrap_err().kind
    };
    let builder = SqliteLog::builder(&absent.path).create_if_missing(false);
    assert_eq!(kind(builder).await, ErrorKind::Unavailable);
    for bad in ["", ":memory:", "a\0b"] {
        assert_eq!(kind(SqliteLog::builder(bad)).await, ErrorKind::Invalid);
    }
    let builder = SqliteLog::builder(&absent.path).append_timeout(Duration::MAX);
    assert_eq!(kind(builder).await, ErrorKind::Invalid);
}

/// A path with characters that mean something to SQLite or to URLs names just that file.
#[tokio::test]
async fn odd_paths_are_plain_paths() {
    let database = Database::new();
    for name in ["a?mode=ro.db", "b %20#.db", "file:c.db", "ü'\"d.db"] {
        let path = database.folder.path().join(name);
        let log = SqliteLog::open(&path).await.unwrap();
        log.install().await.unwrap();
        log.append(&[keys(["1"])]).await.unwrap();
        assert!(path.exists(), "{name}");
    }
}

/// Appends survive as claimed: only the durable log says that it keeps what it acknowledged.
#[tokio::test]
async fn durability_is_claimed_as_configured() {
    let database = Database::new();
    let log = database.log().await;
    assert!(log.capabilities().keeps_acknowledged);
    assert!(!log.capabilities().shared_across_hosts);
    let relaxed = SqliteLog::builder(&database.path)
        .durability(Durability::ProcessCrash)
        .open()
        .await
        .unwrap();
    assert!(!relaxed.capabilities().keeps_acknowledged);
}

/// A log that is dropped without being closed ends its task and its connections.
#[tokio::test]
async fn a_dropped_log_lets_go_of_the_file() {
    let database = Database::new();
    let log = database.log().await;
    log.append(&[keys(["1"])]).await.unwrap();
    let mut other = connect_briefly(&database).await;
    // Only the last connection may leave WAL mode.
    let leave = "PRAGMA journal_mode = DELETE";
    sqlx::query(leave).execute(&mut other).await.unwrap_err();
    drop(log);
    let left = async {
        while sqlx::query(leave).execute(&mut other).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, left).await.unwrap();
}

async fn connect_briefly(database: &Database) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&database.path)
        .busy_timeout(Duration::ZERO);
    sqlx::ConnectOptions::connect(&options).await.unwrap()
}

/// Polls `future` `polls` times, then drops it; whether it was done before.
async fn cancelled<F: Future>(future: F, polls: usize) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if poll.is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Every future may be dropped at any point: the next call works, and holds no lock against others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_calls_leave_the_log_usable() {
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    let mut expected = Vec::new();
    for round in 0..400 {
        expected.push(keys([format!("{round}")]));
    }
    log.append(&expected).await.unwrap();
    let mut dropped = 0;
    for polls in 1..40 {
        let mut done = true;
        done &= cancelled(log.read(ReadRequest::new(&head, start(1))), polls).await;
        done &= cancelled(log.head(), polls).await;
        done &= cancelled(log.install(), polls).await;
        done &= cancelled(log.purge(Duration::from_secs(3_600)), polls).await;
        dropped += usize::from(!done);
        let page = log.read(ReadRequest::new(&head, start(2))).await.unwrap();
        let Page::Entries {
            entries: found,
            complete,
            ..
        } = page
        else {
            panic!("expected entries, found {page:?}");
        };
        assert_eq!(entries(&found), expected);
        assert_eq!(complete, Completeness::AsOf(start(2)));
        // Neither a write lock nor a snapshot is left behind.
        let mut other = database.connect().await;
        let busy = "PRAGMA wal_checkpoint(TRUNCATE)";
        assert_eq!(count(&mut other, busy).await, 0);
    }
    assert!(dropped > 0, "no call was dropped half way");
}

/// A purge that is dropped between its delete and its commit undoes both, and holds no lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_purge_is_whole_or_nothing() {
    let database = Database::new();
    let log = database.log().await;
    let mut other = database.connect().await;
    for polls in 1..60 {
        log.append(&[keys(["1"]), keys(["2"]), keys(["3"])])
            .await
            .unwrap();
        cancelled(log.purge(Duration::ZERO), polls).await;
        let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
        transaction.rollback().await.unwrap();
        let below = "SELECT (SELECT min(id) FROM cache_invalidation_log) - floor - 1
                     FROM cache_invalidation_meta";
        assert_eq!(count(&mut other, below).await, 0, "after {polls} polls");
    }
}

/// A dropped append happened or did not, as a whole, and those of other callers in its group are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_append_is_whole_or_nothing() {
    let database = Database::new();
    let log = Arc::new(database.log().await);
    let head = log.head().await.unwrap();
    let mut kept = Vec::new();
    for round in 0..100 {
        let both = [keys([format!("{round}/a")]), keys([format!("{round}/b")])];
        let stays = keys([format!("{round}/stays")]);
        let other = {
            let (log, stays) = (log.clone(), stays.clone());
            tokio::spawn(async move { log.append(&[stays]).await })
        };
        cancelled(log.append(&both), round % 5 + 1).await;
        tokio::time::timeout(DEADLINE, other)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        kept.push(stays);
    }
    log.append(&[keys(["last"])]).await.unwrap();
    let found = entries(&drain(&log, &head, 1_000).await.0);
    assert!(kept.iter().all(|entry| found.contains(entry)));
    assert_eq!((found.len() - kept.len() - 1) % 2, 0, "half of an append");
}

/// A joined append that is dropped leaves the caller's connection usable, and nothing behind once it rolls
/// back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_join_leaves_the_connection_usable() {
    let database = Database::new();
    let log = database.log().await;
    let mut connection = database.connect().await;
    for polls in 1..30 {
        let mut transaction = connection.begin().await.unwrap();
        cancelled(transaction.append_in(&log, &[keys(["1"])]), polls).await;
        drop(transaction);
        assert_eq!(count(&mut connection, ROWS).await, 0);
    }
}
