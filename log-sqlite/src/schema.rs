//! The log's tables, and how they are made.

use std::time::{Duration, Instant};

use invalidation_core::{Error, ErrorKind};
use sqlx::{Connection, SqliteConnection};

use crate::error::{error, from_sqlx, incompatible, is_busy, is_missing_table};

/// The version of the tables that this crate makes and reads.
pub(crate) const VERSION: i64 = 1;

/// `id` order is commit order, because SQLite has one writer at a time; `AUTOINCREMENT`, because without it
/// the ids of a purged tail are given again.
///
/// No table is `STRICT`, and every default is an old function, so that programs with an older SQLite can write to the
/// file; what does not decode widens (`P12`). `at` serves the retention alone.
const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS main.cache_invalidation_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        nonce INTEGER NOT NULL DEFAULT (random()),
        cache TEXT,
        scope TEXT NOT NULL,
        items TEXT NOT NULL DEFAULT '[]',
        at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
    )",
    "CREATE TABLE IF NOT EXISTS main.cache_invalidation_meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL,
        log_id TEXT NOT NULL,
        floor INTEGER NOT NULL DEFAULT 0,
        floor_nonce INTEGER
    )",
    "CREATE TABLE IF NOT EXISTS main.cache_invalidation_attached (
        attached_table TEXT NOT NULL,
        cache TEXT NOT NULL,
        key_template TEXT,
        tag_templates TEXT NOT NULL,
        PRIMARY KEY (attached_table, cache)
    )",
    "INSERT OR IGNORE INTO main.cache_invalidation_meta (one, version, log_id)
        VALUES (1, 1, lower(hex(randomblob(16))))",
];

const OPERATION: &str = "install";

/// Makes the tables, or finds them. Safe in any number of processes at once: whoever gets the write lock
/// first makes them.
pub(crate) async fn install(
    connection: &mut SqliteConnection,
    timeout: Duration,
) -> Result<(), Error> {
    // Where all is there already nothing is written, so that a read-only process can start.
    if installed_version(connection).await? == Some(VERSION) && is_wal(connection).await? {
        return Ok(());
    }
    use_wal(connection, timeout).await?;
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(|e| from_sqlx(OPERATION, e))?;
    if installed_version(&mut transaction).await?.is_none() {
        for statement in TABLES {
            sqlx::query(statement)
                .execute(&mut *transaction)
                .await
                .map_err(|e| from_sqlx(OPERATION, e))?;
        }
    }
    transaction
        .commit()
        .await
        .map_err(|e| from_sqlx(OPERATION, e))
}

/// Refuses a version that this crate does not know.
pub(crate) fn check_version(operation: &'static str, version: i64) -> Result<(), Error> {
    if version == VERSION {
        return Ok(());
    }
    Err(incompatible(
        operation,
        format!(
            "the log in this database is of version {version}, and this program knows version {VERSION}: \
             upgrade this program"
        ),
    ))
}

async fn installed_version(connection: &mut SqliteConnection) -> Result<Option<i64>, Error> {
    let found = sqlx::query_scalar::<_, i64>(
        "SELECT version FROM main.cache_invalidation_meta WHERE one = 1",
    )
    .fetch_optional(connection)
    .await;
    match found {
        Ok(Some(version)) => check_version(OPERATION, version).map(|()| Some(version)),
        Ok(None) => Ok(None),
        Err(e) if is_missing_table(&e) => Ok(None),
        Err(e) => Err(from_sqlx(OPERATION, e)),
    }
}

async fn is_wal(connection: &mut SqliteConnection) -> Result<bool, Error> {
    sqlx::query_scalar::<_, String>("PRAGMA main.journal_mode")
        .fetch_one(connection)
        .await
        .map(|mode| mode.eq_ignore_ascii_case("wal"))
        .map_err(|e| from_sqlx(OPERATION, e))
}

/// Readers and the writer never wait for one another in WAL mode only (`P16`).
async fn use_wal(connection: &mut SqliteConnection, timeout: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    loop {
        // SQLite does not call its busy handler on every way through this change (two that switch at
        // once would wait for each other), so the rest of the waiting is done here.
        let changed = sqlx::query_scalar::<_, String>("PRAGMA main.journal_mode = WAL")
            .fetch_one(&mut *connection)
            .await;
        match changed {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => {
                return Err(error(
                    ErrorKind::Unsupported,
                    OPERATION,
                    format!(
                        "the database stays in journal mode {mode:?}, but the log needs WAL: put the file on \
                         a local disk, since network file systems cannot share it"
                    ),
                ));
            }
            Err(e) if is_busy(&e) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(e) => return Err(from_sqlx(OPERATION, e)),
        }
    }
}
