//! Triggers, so that a plain `UPDATE` of any program invalidates.

mod table;
mod template;
mod triggers;

use invalidation_core::{CacheName, Error, ErrorKind};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::{
    SqliteLog,
    connection::Missing,
    error::{breaks_connection, error, from_sqlx},
};
use table::Table;
use template::{Template, quote_name};
use triggers::{ALWAYS, Rule, names, triggers};

/// What a change of a row of a table invalidates.
///
/// A template names columns in braces, between literal text: `{id}`, `{org}:{id}`, `org:{org}`. A template with
/// one column holds that column's raw text; in one with several each is escaped as the text of a tuple key is (`\`
/// as `\\`, `:` as `\:`), so that `{org}:{id}` is the text of the key `(org, id)`. Columns are of
/// `INTEGER` or `TEXT` types only, since other values have no text that all programs agree on.
///
/// Without a key and tags each change clears the cache.
///
/// - `INSERT` invalidates what the new row names (it may be cached as absent), `DELETE` what the old one does, and
///   `UPDATE` both.
/// - A `NULL` in a column of the *key* clears the cache. A tag with a `NULL` in it is no tag of the row.
/// - A real number or a blob, which SQLite lets any column hold, clears the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `SqliteLog::attach`"]
pub struct Attach {
    cache: CacheName,
    key: Option<String>,
    tags: Vec<String>,
}

impl Attach {
    /// Changes invalidate in `cache`.
    pub fn to(cache: CacheName) -> Self {
        Self {
            cache,
            key: None,
            tags: Vec::new(),
        }
    }

    /// They invalidate the key with the text of this template.
    pub fn key(mut self, template: impl Into<String>) -> Self {
        self.key = Some(template.into());
        self
    }

    /// They invalidate the tag with the text of this template, beside other tags.
    pub fn tag(mut self, template: impl Into<String>) -> Self {
        self.tags.push(template.into());
        self
    }
}

/// A table that was attached to a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// The table, by the name it had when it was attached.
    pub table: String,
    /// What its changes invalidate.
    pub attach: Attach,
    /// Whether its triggers are all there. They are gone when the table was dropped (as most migrations do that
    /// make it anew) or renamed: attach it again.
    pub active: bool,
}

impl SqliteLog {
    /// Makes every change of a row of `table`, by any program, append to this log in the transaction of that change
    /// (`P2`). Replaces what attached `table` to the same cache before.
    ///
    /// Idempotent, and meant to be called at each start: migrations that make a table anew drop its
    /// triggers. When something had to change, the cache is cleared, since what happened before was not logged.
    ///
    /// Rows that `INSERT OR REPLACE` and `UPDATE OR REPLACE` evict are invalidated as well, although SQLite fires no
    /// trigger for them by default; so are those that a failed `INSERT OR IGNORE` or an upsert runs into. Cascades of
    /// foreign keys fire the triggers of the tables they reach.
    ///
    /// Triggers do not see: evictions by a unique index over an expression, or by one made since the last attach; writes
    /// to a table of the same name in an attached database; changes of the schema; and a file that is
    /// replaced. Each changed row makes an entry for its key and one for its tags, so around a bulk change that touches
    /// most of a large table, consider to detach, and to clear the cache in its transaction.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a table, a column or a template that cannot be used; the message lists those that
    /// exist. Dropping the future leaves either the old triggers or the new ones.
    pub async fn attach(&self, table: &str, attach: &Attach) -> Result<(), Error> {
        self.with_writer("attach", async |connection| {
            let mut transaction = begin(connection).await?;
            let changed = attach_in(&mut transaction, table, attach).await?;
            if changed {
                transaction
                    .commit()
                    .await
                    .map_err(|e| Failure::Driver("attach", e))?;
            }
            Ok(())
        })
        .await
    }

    /// Takes the triggers away that [`attach`](Self::attach) made; `false` when there were none.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn detach(&self, table: &str, cache: &CacheName) -> Result<bool, Error> {
        self.with_writer("detach", async |connection| {
            let failed = |e| Failure::Driver("detach", e);
            let mut transaction = begin(connection).await?;
            let found: Option<String> = sqlx::query_scalar(
                "DELETE FROM main.cache_invalidation_attached
                 WHERE attached_table = ? COLLATE NOCASE AND cache = ? RETURNING attached_table",
            )
            .bind(table)
            .bind(cache.as_str())
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?
            .pop();
            let Some(name) = found else {
                return Ok(false);
            };
            drop_triggers(&mut transaction, &name, cache).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(true)
        })
        .await
    }

    /// All tables that are attached, ordered by name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn attached(&self) -> Result<Vec<Attached>, Error> {
        self.with_writer("attached", async |connection| {
            let failed = |e| Failure::Driver("attached", e);
            let rows = sqlx::query(
                "SELECT attached_table, cache, key_template, tag_templates
                 FROM main.cache_invalidation_attached ORDER BY 1, 2",
            )
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
            let mut all = Vec::with_capacity(rows.len());
            for row in &rows {
                let text = |column| row.try_get::<Option<String>, _>(column).map_err(failed);
                let table = text(0)?.unwrap_or_default();
                let cache = CacheName::new(text(1)?.unwrap_or_default()).map_err(unreadable)?;
                let tags =
                    serde_json::from_str(&text(3)?.unwrap_or_default()).map_err(unreadable)?;
                let there = existing(connection, &table, &cache).await?;
                let active = names(&table, &cache)[..ALWAYS]
                    .iter()
                    .all(|name| there.iter().any(|(there, _)| there == name));
                let key = text(2)?;
                all.push(Attached {
                    table,
                    attach: Attach { cache, key, tags },
                    active,
                });
            }
            Ok(all)
        })
        .await
    }

    async fn with_writer<T>(
        &self,
        operation: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut slot = self.shared().writer.lock().await;
        self.shared().check_open(operation)?;
        let handle = slot.ready(operation, Missing::Refuse).await?;
        match work(&mut handle.connection).await {
            Ok(done) => Ok(done),
            Err(Failure::Refused(e)) => Err(e),
            Err(Failure::Driver(operation, e)) => {
                if breaks_connection(&e) {
                    slot.discard();
                }
                Err(from_sqlx(operation, e))
            }
        }
    }
}

/// Why something was not done: said by us, or by the driver.
enum Failure {
    Refused(Error),
    Driver(&'static str, sqlx::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

fn unreadable(source: impl std::fmt::Display) -> Failure {
    Failure::Refused(error(
        ErrorKind::Incompatible,
        "attached",
        format!("cache_invalidation_attached cannot be read ({source}): attach the tables again"),
    ))
}

async fn begin(
    connection: &mut SqliteConnection,
) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>, Failure> {
    connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(|e| Failure::Driver("attach", e))
}

/// Whether anything had to change.
async fn attach_in(
    connection: &mut SqliteConnection,
    table: &str,
    attach: &Attach,
) -> Result<bool, Failure> {
    let failed = |e| Failure::Driver("attach", e);
    let table = Table::find(connection, table).await?;
    let rule = Rule {
        cache: &attach.cache,
        key: attach
            .key
            .as_deref()
            .map(|text| Template::parse(text, &table))
            .transpose()?,
        tags: attach
            .tags
            .iter()
            .map(|text| Template::parse(text, &table))
            .collect::<Result<_, _>>()?,
    };
    let wanted = triggers(&table, &rule);
    let there = existing(connection, &table.name, &attach.cache).await?;
    let same = |name: &str, create: &str| {
        there
            .iter()
            .any(|(there, sql)| there == name && sql == create)
    };
    if there.len() == wanted.len()
        && wanted
            .iter()
            .all(|trigger| same(&trigger.name, &trigger.create))
    {
        return Ok(false);
    }
    drop_triggers(connection, &table.name, &attach.cache).await?;
    for trigger in &wanted {
        // Every name and text in it is quoted by `quote_name` and `quote_text`.
        sqlx::raw_sql(AssertSqlSafe(trigger.create.as_str()))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    sqlx::query(
        "INSERT OR REPLACE INTO main.cache_invalidation_attached
             (attached_table, cache, key_template, tag_templates) VALUES (?, ?, ?, ?)",
    )
    .bind(&table.name)
    .bind(attach.cache.as_str())
    .bind(&attach.key)
    .bind(serde_json::json!(attach.tags).to_string())
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    // What changed before was not logged (`P1`).
    sqlx::query("INSERT INTO main.cache_invalidation_log (cache, scope) VALUES (?, 'all')")
        .bind(attach.cache.as_str())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(true)
}

async fn drop_triggers(
    connection: &mut SqliteConnection,
    table: &str,
    cache: &CacheName,
) -> Result<(), Failure> {
    for name in names(table, cache) {
        let sql = format!("DROP TRIGGER IF EXISTS main.{}", quote_name(&name));
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await
            .map_err(|e| Failure::Driver("attach", e))?;
    }
    Ok(())
}

/// The triggers that attach `table` to `cache`, with the statements that created them.
async fn existing(
    connection: &mut SqliteConnection,
    table: &str,
    cache: &CacheName,
) -> Result<Vec<(String, String)>, Failure> {
    let names = names(table, cache);
    let rows = sqlx::query_as(
        "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'
         AND tbl_name = ?1 COLLATE NOCASE AND name IN (SELECT value FROM json_each(?2))",
    )
    .bind(table)
    .bind(serde_json::json!(names).to_string());
    rows.fetch_all(connection)
        .await
        .map_err(|e| Failure::Driver("attach", e))
}
