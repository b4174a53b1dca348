//! A database in a folder of its own, and how the tests write to it and read from it.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test's setting is a failed test"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use invalidation_core::{
    CacheName, Completeness, Cursor, Entry, GapReason, Invalidation, InvalidationLog, LoggedEntry,
    Page, Payload, ReadRequest, ReadStart, Scope, Tick,
};
use invalidation_log_sqlite::SqliteLog;
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

/// How long anything may take that should happen at all.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Database {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Database {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        Self { folder, path }
    }

    /// An installed log on this database.
    pub async fn log(&self) -> SqliteLog {
        let log = SqliteLog::open(&self.path).await.unwrap();
        log.install().await.unwrap();
        log
    }

    /// Another program's connection.
    pub async fn connect(&self) -> SqliteConnection {
        connect(&self.path).await
    }
}

pub async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(20))
        .disable_statement_logging()
        .connect()
        .await
        .unwrap()
}

pub async fn execute(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap();
}

pub async fn count(connection: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .unwrap()
}

pub fn cache(name: &str) -> CacheName {
    CacheName::new(name).unwrap()
}

pub fn keys<T: Into<Box<str>>>(keys: impl IntoIterator<Item = T>) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: cache("users"),
        scope: Scope::keys(keys),
    })
}

pub fn start(number: u64) -> ReadStart {
    ReadStart::new(Tick::from_nanos(number), number)
}

/// One page after `after`.
pub async fn read(log: &SqliteLog, after: &Cursor) -> Page {
    log.read(ReadRequest::new(after, start(7))).await.unwrap()
}

/// All that is behind `after`, page by page of `max_entries`, and the cursor behind it.
pub async fn drain(
    log: &SqliteLog,
    after: &Cursor,
    max_entries: usize,
) -> (Vec<LoggedEntry>, Cursor) {
    let mut all = Vec::new();
    let mut after = after.clone();
    loop {
        let mut request = ReadRequest::new(&after, start(1));
        request.max_entries = max_entries;
        match log.read(request).await.unwrap() {
            Page::Entries {
                entries,
                next,
                complete,
            } => {
                assert!(entries.len() <= max_entries);
                all.extend(entries);
                after = next;
                if complete != Completeness::Partial {
                    return (all, after);
                }
            }
            other => panic!("expected entries, found {other:?}"),
        }
    }
}

pub fn entry(logged: &LoggedEntry) -> &Entry {
    match &logged.payload {
        Payload::Entry(entry) => entry,
        other => panic!("expected an entry, found {other:?}"),
    }
}

pub fn entries(logged: &[LoggedEntry]) -> Vec<Entry> {
    logged.iter().map(|logged| entry(logged).clone()).collect()
}

/// What the entries invalidate, written shortly: `users/keys/1,2`.
pub fn shortly(logged: &[LoggedEntry]) -> Vec<String> {
    logged
        .iter()
        .map(|logged| match &logged.payload {
            Payload::Undecodable { cache: None, .. } => "?".into(),
            Payload::Undecodable {
                cache: Some(cache), ..
            } => format!("{cache}/?"),
            Payload::Entry(entry) => match &entry.invalidation {
                Invalidation::Everything => "everything".into(),
                Invalidation::Cache { cache, scope } => match scope {
                    Scope::All => format!("{cache}/all"),
                    Scope::Keys(keys) => format!("{cache}/keys/{}", keys.join(",")),
                    Scope::Tags(tags) => format!("{cache}/tags/{}", tags.join(",")),
                },
            },
        })
        .collect()
}

/// The reason why `after` is expired; the cursor to go on from is asserted to work.
pub async fn expired(log: &SqliteLog, after: &Cursor) -> GapReason {
    match read(log, after).await {
        Page::Expired {
            next,
            as_of,
            reason,
        } => {
            assert_eq!(as_of, start(7));
            assert!(matches!(read(log, &next).await, Page::Entries { .. }));
            reason
        }
        other => panic!("expected an expired cursor, found {other:?}"),
    }
}
