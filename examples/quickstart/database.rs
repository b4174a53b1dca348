//! The table that the nodes cache: real rows, in the file that also holds the log.

use std::{path::Path, time::Duration};

use anyhow::Context;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

/// Rows have the keys 1 to `ROWS`.
pub(crate) const ROWS: i64 = 200;
/// The rows that are written, and read more often than the others.
pub(crate) const HOT_ROWS: i64 = 40;

/// The next version of a row; what any program would run.
pub(crate) const UPDATE: &str = "UPDATE items SET version = version + 1, \
     name = 'item ' || id || ', version ' || (version + 1) WHERE id = ? RETURNING version";

/// One row. Its name says which row and version it is, so that a reader can tell a value that is not what was
/// written.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) name: String,
}

impl Item {
    /// Whether it is the row `key`, whole.
    pub(crate) fn is_whole(&self, key: i64) -> bool {
        self.id == key && self.name == format!("item {key}, version {}", self.version)
    }
}

/// A pool on the file at `path`.
pub(crate) async fn open(path: &Path) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5));
    SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await
        .with_context(|| format!("cannot open the database {}", path.display()))
}

/// Makes the table and its rows.
pub(crate) async fn fill(pool: &SqlitePool) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL)",
    )
    .execute(&mut *tx)
    .await?;
    for id in 1..=ROWS {
        sqlx::query("INSERT INTO items VALUES (?, 1, 'item ' || ? || ', version 1')")
            .bind(id)
            .bind(id)
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

/// The row as it stands now: the loader of the cache.
pub(crate) async fn load(pool: &SqlitePool, key: i64) -> Result<Item, sqlx::Error> {
    sqlx::query_as("SELECT id, version, name FROM items WHERE id = ?")
        .bind(key)
        .fetch_one(pool)
        .await
}

/// The version of each row that is written.
pub(crate) async fn versions(pool: &SqlitePool) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT id, version FROM items ORDER BY id")
        .fetch_all(pool)
        .await
}
