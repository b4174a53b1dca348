//! Triggers, so that a plain `UPDATE` of any program invalidates.

use invalidation_core::{CacheName, Error, ErrorKind};
use sqlx::postgres::PgRow;

use super::{
    PgLog,
    connection::{bounded, text},
    literal::literal,
};
use crate::error::{code, error, from_sqlx};

/// What a change of a row of a table invalidates.
///
/// A template names columns in braces, between literal text: `{id}`, `{org}:{id}`, `org:{org}`. A template with
/// one column holds that column's raw text; in one with several each is escaped as the text of a tuple key is (`\`
/// as `\\`, `:` as `\:`), so that `{org}:{id}` is the text of the key `(org, id)`. Columns are integers, `text`,
/// `varchar` or `uuid`: the texts of others depend on the settings of a session.
///
/// Without a key and tags each statement that changes the table clears the cache.
///
/// - `INSERT` invalidates what the new rows name (they may be cached as absent), `DELETE` what the old ones do, `UPDATE`
///   both, and `TRUNCATE` clears the cache.
/// - A `NULL` in a column of the *key* clears the cache. A tag with a `NULL` in it is no tag of the row.
/// - A statement that names more than 1,000 keys, or tags, clears the cache (`P11`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `PgLog::attach`"]
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
    /// The table, by its present name, quoted where it needs to be; its number when it was dropped.
    pub table: String,
    /// What its changes invalidate.
    pub attach: Attach,
    /// Whether its triggers are all there and enabled.
    pub active: bool,
}

impl PgLog {
    /// Makes every statement that changes `table`, by any program, append to this log in its transaction (`P2`). The
    /// table is named as in SQL: `public.users`, `public."Users"`. Replaces what attached it to the same cache before.
    ///
    /// Idempotent, and meant to be called at each start, by a user who owns the table and may create functions in the
    /// log's schema. When something had to change, the cache is cleared, since what happened before was not logged;
    /// the answer is then `true`. It waits for transactions that use the table, and lets later ones wait meanwhile.
    ///
    /// Partitions are attached with their table; after one was added, attach again. Triggers do not see what logical
    /// replication applies, what a session with `session_replication_role = replica` does, and changes of the schema.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a table, a column or a template that cannot be used. Dropping the future leaves
    /// either the old triggers or the new ones.
    pub async fn attach(&self, table: &str, attach: &Attach) -> Result<bool, Error> {
        let tags: Vec<_> = attach.tags.iter().map(|tag| literal(tag)).collect();
        let call = format!(
            "SELECT {}.attach({}::regclass, {}, {}, ARRAY[{}]::text[])::text",
            self.shared.settings.schema.quoted(),
            literal(table),
            literal(attach.cache.as_str()),
            attach.key.as_deref().map_or("NULL".into(), literal),
            tags.join(", "),
        );
        let rows = self.call("attach", &call).await?;
        Ok(said_true(&rows))
    }

    /// Takes the triggers away that [`attach`](Self::attach) made; `false` when there were none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there is no such table; those of the database.
    pub async fn detach(&self, table: &str, cache: &CacheName) -> Result<bool, Error> {
        let call = format!(
            "SELECT {}.detach({}::regclass, {})::text",
            self.shared.settings.schema.quoted(),
            literal(table),
            literal(cache.as_str())
        );
        let rows = self.call("detach", &call).await?;
        Ok(said_true(&rows))
    }

    /// All tables that are attached, partitions too, ordered by name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn attached(&self) -> Result<Vec<Attached>, Error> {
        let sql = self.shared.settings.schema.sql(
            "SELECT a.attached::text, a.cache, a.key, to_json(a.tags)::text,
                {s}.is_active(a.attached, a.cache)::text
             FROM {s}.attached AS a ORDER BY 1, 2",
        );
        let rows = self.call("attached", &sql).await?;
        let parsed = rows.iter().map(|row| {
            Some(Attached {
                table: text(row, 0)?.into(),
                attach: Attach {
                    cache: CacheName::new(text(row, 1)?).ok()?,
                    key: text(row, 2).map(Into::into),
                    tags: serde_json::from_str(text(row, 3)?).ok()?,
                },
                active: text(row, 4) == Some("true"),
            })
        });
        parsed
            .collect::<Option<_>>()
            .ok_or_else(|| super::header::foreign_tables("attached"))
    }

    async fn call(&self, operation: &'static str, sql: &str) -> Result<Vec<PgRow>, Error> {
        let shared = &self.shared;
        bounded(operation, shared.settings.write_timeout, async {
            let mut slot = shared.writer.lock().await;
            shared.check_open(operation)?;
            let mut session = slot.take(operation).await?;
            let rows = session.try_run(sql).await;
            let rows = rows.map_err(|e| refused(operation, e))?;
            slot.put(session);
            Ok(rows)
        })
        .await
    }
}

fn said_true(rows: &[PgRow]) -> bool {
    rows.first().and_then(|row| text(row, 0)) == Some("true")
}

/// What the functions refuse is what they were given.
fn refused(operation: &'static str, source: sqlx::Error) -> Error {
    // An invalid parameter, a column or a table that is not there, an invalid name.
    let invalid = ["22023", "42703", "42P01", "42602", "3F000"];
    match &source {
        sqlx::Error::Database(database)
            if code(&source).is_some_and(|code| invalid.contains(&&*code)) =>
        {
            let message = database.message().to_owned();
            error(ErrorKind::Invalid, operation, message).with_source(source)
        }
        _ => from_sqlx(operation, source),
    }
}
