//! The table as this node sees it: the database, and the cache before it.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use cache_invalidation::{Cache, InvalidationLog, JoinsLog, LoadError, Node};
use sqlx::Transaction;

use crate::{
    clock::now,
    database::{Database, Item, UPDATE, update_mysql},
    protocol::{Commit, Numbered, Reply},
};

/// The rows and their cache.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) node: Node,
    pub(crate) database: Database,
    pub(crate) cache: Cache<i64, Arc<Item>>,
    /// Whether a transaction on the rows can hold entries of the log.
    pub(crate) log_joins: bool,
    pub(crate) loads: AtomicU64,
}

/// What a writer does once its transaction is committed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Afterwards {
    /// Goes on, as everybody does.
    Publish,
    /// Tells the parent (under this number), and is gone before it could publish; in two steps, as soon as it is logged.
    Die(u64),
}

impl Table {
    /// The row, from the cache where the cache may serve it.
    pub(crate) async fn get(&self, key: i64) -> Result<Arc<Item>, LoadError> {
        self.cache
            .get_or_load(&key, || async move {
                self.loads.fetch_add(1, Ordering::Relaxed);
                self.database.load(key).await.map(Arc::new)
            })
            .await
    }

    /// Writes the next version and invalidates the row: as one transaction where the log can join it.
    pub(crate) async fn write(&self, key: i64, then: Afterwards) -> anyhow::Result<Commit> {
        match &self.database {
            Database::Sqlite(pool) => {
                // A deferred transaction that read before its first write could be refused the write lock.
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let update = sqlx::query_scalar(UPDATE).bind(key);
                let version = update.fetch_one(&mut *tx).await?;
                if self.log_joins {
                    self.invalidate_and_commit(tx, key, version, then).await
                } else {
                    self.commit_and_invalidate(tx, key, version, then).await
                }
            }
            Database::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                let update = sqlx::query_scalar(UPDATE).bind(key);
                let version = update.fetch_one(&mut *tx).await?;
                self.invalidate_and_commit(tx, key, version, then).await
            }
            Database::MySql(pool) => {
                let mut tx = pool.begin().await?;
                let version = update_mysql(&mut tx, key).await?;
                let version = version.context("there is no such row")?;
                self.invalidate_and_commit(tx, key, version, then).await
            }
        }
    }

    /// In two steps, where the log is elsewhere: what was committed counts as superseded once it is logged.
    async fn commit_and_invalidate<D: sqlx::Database>(
        &self,
        tx: Transaction<'static, D>,
        key: i64,
        version: i64,
        then: Afterwards,
    ) -> anyhow::Result<Commit> {
        let change = self.node.changes().keys(&self.cache, [&key]);
        let change = change.in_two_steps()?;
        let begun = now();
        change.commit(tx.commit()).await?;
        let commit = Commit {
            key,
            version,
            begun,
            committed: now(),
        };
        if let Afterwards::Die(number) = then {
            tell_and_die(number, commit);
        }
        Ok(commit)
    }

    /// The same in every database.
    async fn invalidate_and_commit<D, L>(
        &self,
        mut tx: Transaction<'static, D>,
        key: i64,
        version: i64,
        then: Afterwards,
    ) -> anyhow::Result<Commit>
    where
        D: sqlx::Database,
        L: InvalidationLog,
        Transaction<'static, D>: JoinsLog<L>,
    {
        let pending = self.cache.invalidate_in(&mut tx, [&key]).await?;
        let mut commit = Commit {
            key,
            version,
            begun: now(),
            committed: 0,
        };
        // The same future, with a look at the clock between the commit and the publishing.
        let committing = async {
            let done = tx.commit().await;
            commit.committed = now();
            if let (Ok(()), Afterwards::Die(number)) = (&done, then) {
                tell_and_die(number, commit);
            }
            done
        };
        pending.commit(committing).await?;
        Ok(commit)
    }
}

/// SIGKILL lets nothing run after it: no destructor, no task that publishes.
fn tell_and_die(number: u64, commit: Commit) {
    let reply = Numbered {
        number,
        body: Reply::Committed(commit),
    };
    if let Ok(line) = serde_json::to_string(&reply) {
        // Should the parent be gone, there is nobody to tell.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}
