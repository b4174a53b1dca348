//! The users: a table, and a cache before it.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use cache_invalidation::{Cache, LoadError, Node};
use serde::{Deserialize, Serialize};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use crate::error::WriteError;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) email: String,
}

/// What a client may set.
#[derive(Debug, Deserialize)]
pub(crate) struct Details {
    pub(crate) name: String,
    pub(crate) email: String,
}

/// Reads go through the cache; writes invalidate it on every instance.
#[derive(Debug)]
pub(crate) struct Users {
    pool: SqlitePool,
    /// `None` is a user who does not exist: that is worth remembering too.
    cache: Cache<i64, Option<Arc<User>>>,
}

/// The database at `path`, with its table.
pub(crate) async fn open(path: &Path) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5));
    let pool = SqlitePool::connect_with(options)
        .await
        .with_context(|| format!("cannot open {}", path.display()))?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS users \
         (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE)",
    )
    .execute(&pool)
    .await?;
    Ok(pool)
}

impl Users {
    pub(crate) fn new(
        pool: SqlitePool,
        node: &Node,
        max_staleness: Duration,
    ) -> anyhow::Result<Self> {
        let cache = node
            .cache("users")
            .capacity(100_000)
            .ttl(Duration::from_secs(60))
            // Whoever guesses ids should not fill the cache for long.
            .negative_ttl(Duration::from_secs(30))
            .max_staleness(max_staleness)
            .build()?;
        Ok(Self { pool, cache })
    }

    /// One user, from the cache where it may serve.
    pub(crate) async fn find(&self, id: i64) -> Result<Option<Arc<User>>, LoadError> {
        self.cache
            .get_or_load(&id, || async move {
                let user: Option<User> =
                    sqlx::query_as("SELECT id, name, email FROM users WHERE id = ?")
                        .bind(id)
                        .fetch_optional(&self.pool)
                        .await?;
                Ok::<_, sqlx::Error>(user.map(Arc::new))
            })
            .await
    }

    /// A page of users, in the order of their ids. Straight from the database: a list changes with every row in
    /// it, and is seldom asked for twice.
    pub(crate) async fn list(&self, after: i64, limit: u32) -> Result<Vec<User>, sqlx::Error> {
        sqlx::query_as("SELECT id, name, email FROM users WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }

    /// Makes or changes a user.
    pub(crate) async fn put(&self, id: i64, details: Details) -> Result<User, WriteError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let user = sqlx::query_as(
            "INSERT INTO users (id, name, email) VALUES (?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email \
             RETURNING id, name, email",
        )
        .bind(id)
        .bind(details.name)
        .bind(details.email)
        .fetch_one(&mut *tx)
        .await?;
        // The invalidation is part of the transaction: it exists exactly if the write does (`P2`). A new row is
        // invalidated as well, since its absence may be cached.
        let pending = self.cache.invalidate_in(&mut tx, [&id]).await?;
        // Commits, drops it here, and then tells the other instances. Should this future be dropped on the way (the
        // client hung up), or the process die, they read it from the log.
        pending.commit(tx.commit()).await?;
        Ok(user)
    }

    /// Deletes a user; `false` when there was none.
    pub(crate) async fn delete(&self, id: i64) -> Result<bool, WriteError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let deleted = sqlx::query("DELETE FROM users WHERE id = ?")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        let pending = self.cache.invalidate_in(&mut tx, [&id]).await?;
        pending.commit(tx.commit()).await?;
        Ok(true)
    }
}
