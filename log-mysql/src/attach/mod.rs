//! Triggers, so that a plain `UPDATE` of any program invalidates.

mod table;
mod template;
mod triggers;

use invalidation_core::{CacheName, Error, ErrorKind};
use sqlx::mysql::MySqlRow;

use self::{
    table::Table,
    template::Template,
    triggers::{Rule, names, triggers},
};
use crate::{
    connection::{Session, bounded, integer, literal, text},
    database_name::DatabaseName,
    error::{error, from_sqlx},
    header::foreign_tables,
    log::MySqlLog,
};

/// What a change of a row of a table invalidates.
///
/// A template names columns in braces, between literal text: `{id}`, `{org}:{id}`, `org:{org}`. A template with
/// one column holds that column's raw text; in one with several each is escaped as the text of a tuple key is (`\`
/// as `\\`, `:` as `\:`), so that `{org}:{id}` is the text of the key `(org, id)`. Columns are integers, texts in a
/// character set, or MariaDB's `uuid`: others have no text that all programs agree on.
///
/// Without a key and tags each change of a row clears the cache.
///
/// - `INSERT` invalidates what the new row names (it may be cached as absent), `DELETE` what the old one does, and
///   `UPDATE` both.
/// - A `NULL` in a column of the *key* clears the cache. A tag with a `NULL` in it is no tag of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `MySqlLog::attach`"]
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
    /// The table, as `database.table`.
    pub table: String,
    /// What its changes invalidate.
    pub attach: Attach,
    /// Whether its triggers are all there. They are gone when the table was dropped, as migrations do that make it
    /// anew: attach it again.
    pub active: bool,
}

impl MySqlLog {
    /// Makes every change of a row of `table`, by any program, append to this log in the transaction of that change
    /// (`P2`); `true` when something had to change. The table is one of InnoDB, named `table` in the log's database or
    /// `database.table`. Replaces what attached it to the same cache before.
    ///
    /// Idempotent, and meant to be called at each start. When something had to change, the cache is cleared, since what
    /// happened before was not logged. Making a trigger waits until the transactions that use the table have ended, and
    /// others wait behind it, for at most the write timeout.
    ///
    /// The servers have triggers for rows alone: each changed row makes an entry for its key and one for its tags, so
    /// around a bulk change consider to detach, and to clear the cache in its transaction. The triggers append with the
    /// rights of the user who attached.
    ///
    /// Triggers do not see: `TRUNCATE`, `DROP` and other changes of the schema, among them those of partitions; cascades
    /// of foreign keys, `ON DELETE CASCADE` and the like; and what a replica applies row by row.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a table, a column or a template that cannot be used; [`ErrorKind::Denied`] without the
    /// rights `TRIGGER` and, where the binary log is on, either `SUPER` or `log_bin_trust_function_creators`. After a
    /// failure or when the future is dropped, attach again: the old triggers may be gone.
    pub async fn attach(&self, table: &str, attach: &Attach) -> Result<bool, Error> {
        self.alone("attach", async |session, log| {
            let table = Table::find(session, log.as_str(), table).await?;
            let parse = |text: &String| Template::parse(text, &table);
            let rule = Rule {
                cache: &attach.cache,
                key: attach.key.as_ref().map(parse).transpose()?,
                tags: attach.tags.iter().map(parse).collect::<Result<_, _>>()?,
            };
            let wanted = triggers(log, &table, &rule);
            let there = existing(session, &table, &attach.cache).await?;
            let is_there = |trigger: &triggers::Trigger| {
                there
                    .iter()
                    .any(|(name, body)| *name == trigger.name && *body == trigger.body)
            };
            if wanted.iter().all(is_there) {
                return Ok(false);
            }
            // Before the triggers, so that what was made half is listed, and can be detached.
            let note = format!(
                "REPLACE INTO {} (attached_table, cache, key_template, tag_templates) VALUES ({}, {}, {}, {})",
                log.sql("{d}.cache_invalidation_attached"),
                literal(&table.full_name()),
                literal(attach.cache.as_str()),
                attach.key.as_deref().map_or("NULL".into(), literal),
                literal(&serde_json::json!(attach.tags).to_string())
            );
            run(session, "attach", note).await?;
            drop_triggers(session, &table, &attach.cache).await?;
            for trigger in &wanted {
                run(session, "attach", trigger.create(&table)).await?;
            }
            // What changed before was not logged (`P1`): a trigger is made when no transaction uses the table.
            let clear = format!(
                "INSERT INTO {} (cache, scope) VALUES ({}, 'all')",
                log.sql("{d}.cache_invalidation_log"),
                literal(attach.cache.as_str())
            );
            run(session, "attach", clear).await?;
            Ok(true)
        })
        .await
    }

    /// Takes the triggers away that [`attach`](Self::attach) made; `false` when there were none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a table that is not there and was never attached; those of the database.
    pub async fn detach(&self, table: &str, cache: &CacheName) -> Result<bool, Error> {
        self.alone("detach", async |session, log| {
            let found = Table::find(session, log.as_str(), table).await;
            let full_name = match &found {
                Ok(table) => table.full_name(),
                Err(_) if table.contains('.') => table.to_owned(),
                Err(_) => format!("{}.{table}", log.as_str()),
            };
            let is_noted = format!(
                "{} WHERE attached_table = {} AND cache = {}",
                log.sql("FROM {d}.cache_invalidation_attached"),
                literal(&full_name),
                literal(cache.as_str())
            );
            let noted = run(session, "detach", format!("SELECT 1 {is_noted}")).await?;
            match found {
                Ok(table) => drop_triggers(session, &table, cache).await?,
                // It was dropped, and its triggers with it.
                Err(e) if e.kind == ErrorKind::Invalid && !noted.is_empty() => {}
                Err(e) => return Err(e),
            }
            run(session, "detach", format!("DELETE {is_noted}")).await?;
            Ok(!noted.is_empty())
        })
        .await
    }

    /// All tables that are attached, ordered by name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn attached(&self) -> Result<Vec<Attached>, Error> {
        const OPERATION: &str = "attached";
        self.alone(OPERATION, async |session, log| {
            let all = log.sql(
                "SELECT attached_table, cache, key_template, tag_templates FROM {d}.cache_invalidation_attached
                 ORDER BY 1, 2",
            );
            let mut attached = Vec::new();
            for row in run(session, OPERATION, all).await? {
                let unreadable = || foreign_tables(OPERATION);
                let name = text(&row, 0).ok_or_else(unreadable)?;
                let cache = text(&row, 1).and_then(|name| CacheName::new(name).ok());
                let cache = cache.ok_or_else(unreadable)?;
                let tags = text(&row, 3).and_then(|tags| serde_json::from_str(tags).ok());
                let active = match Table::find(session, log.as_str(), name).await {
                    Ok(table) => existing(session, &table, &cache).await?.len() == 3,
                    Err(e) if e.kind == ErrorKind::Invalid => false,
                    Err(e) => return Err(e),
                };
                attached.push(Attached {
                    table: name.into(),
                    attach: Attach {
                        cache,
                        key: text(&row, 2).map(Into::into),
                        tags: tags.ok_or_else(unreadable)?,
                    },
                    active,
                });
            }
            Ok(attached)
        })
        .await
    }

    /// Runs `work` while no other process attaches.
    async fn alone<T>(
        &self,
        operation: &'static str,
        work: impl AsyncFnOnce(&mut Session, &DatabaseName) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let shared = self.shared();
        let timeout = shared.settings.write_timeout;
        bounded(operation, timeout, async {
            let mut slot = shared.writer.lock().await;
            shared.check_open(operation)?;
            let mut session = slot.take(operation).await?;
            let database = &shared.settings.database;
            let name = format!(
                "CONCAT('cache-invalidation ', LEFT(MD5('attach {}'), 32))",
                database.as_str()
            );
            let lock = format!("SELECT GET_LOCK({name}, {})", timeout.as_secs_f64());
            let locked = run(&mut session, operation, lock).await?;
            if locked.first().and_then(|row| integer(row, 0)) != Some(1) {
                return Err(error(
                    ErrorKind::TimedOut,
                    operation,
                    "another process attaches tables: wait until it has ended, and try again",
                ));
            }
            // A connection on which it failed is not used again, and its lock is gone with it.
            let done = work(&mut session, database).await?;
            let unlock = format!("SELECT RELEASE_LOCK({name})");
            run(&mut session, operation, unlock).await?;
            slot.put(session);
            Ok(done)
        })
        .await
    }
}

async fn run(
    session: &mut Session,
    operation: &'static str,
    sql: String,
) -> Result<Vec<MySqlRow>, Error> {
    let rows = session.run(sql).await;
    rows.map_err(|e| from_sqlx(operation, e))
}

async fn drop_triggers(
    session: &mut Session,
    table: &Table,
    cache: &CacheName,
) -> Result<(), Error> {
    for name in names(table, cache) {
        let drop = format!(
            "DROP TRIGGER IF EXISTS {}.{}",
            quote_name(&table.database),
            quote_name(&name)
        );
        run(session, "attach", drop).await?;
    }
    Ok(())
}

/// The triggers that attach `table` to `cache`, with what they do.
async fn existing(
    session: &mut Session,
    table: &Table,
    cache: &CacheName,
) -> Result<Vec<(String, String)>, Error> {
    let names = names(table, cache).map(|name| literal(&name)).join(", ");
    let sql = format!(
        "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS
         WHERE TRIGGER_SCHEMA = {} AND EVENT_OBJECT_TABLE = {} AND TRIGGER_NAME IN ({names})",
        literal(&table.database),
        literal(&table.name)
    );
    let rows = run(session, "attach", sql).await?;
    let pairs = rows.iter().map(|row| {
        let column = |at| text(row, at).unwrap_or_default().to_owned();
        (column(0), column(1))
    });
    Ok(pairs.collect())
}

/// A name in backquotes: whatever it holds, it is one identifier.
fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
