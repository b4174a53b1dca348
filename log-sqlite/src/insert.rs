//! The one statement that appends, for this log's own connection and for any other.

use invalidation_core::Entry;
use sqlx::{Row, SqliteConnection};

use crate::cursor::LogId;

macro_rules! concat_insert {
    ($suffix:literal) => {
        concat!(
            "INSERT INTO main.cache_invalidation_log (nonce, cache, scope, items) ",
            "SELECT CAST(json_extract(e.value, '$[0]') AS INTEGER), json_extract(e.value, '$[1]'), ",
            "json_extract(e.value, '$[2]'), json_extract(e.value, '$[3]') ",
            "FROM json_each(?1, '$.entries') AS e ",
            "WHERE json_extract(?1, '$.log') = (SELECT log_id FROM main.cache_invalidation_meta) ",
            "ORDER BY e.key",
            $suffix
        )
    };
}

/// Appends the entries of its one JSON parameter, in order, and nothing at all in a database whose log has
/// another id.
///
/// `main.` is spelt out: a transaction over attached databases is not atomic in WAL mode
/// (<https://www.sqlite.org/lang_attach.html>), and a temporary table of the same name would come first.
pub(crate) const INSERT: &str = concat_insert!("");

/// The same, telling the ids it gave.
const INSERT_RETURNING: &str = concat_insert!(" RETURNING id");

/// The parameter of [`INSERT`].
pub(crate) fn parameter<'a>(log: LogId, entries: impl Iterator<Item = &'a Entry>) -> String {
    invalidation_log_rows::parameter(&log.to_text(), entries)
}

/// Runs it; the ids in the order of the entries, or none when this is not the database of `log`.
pub(crate) async fn insert<'a>(
    connection: &mut SqliteConnection,
    log: LogId,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<Vec<i64>, sqlx::Error> {
    // Fetched to the end: outside a transaction the commit comes with the last step.
    let rows = sqlx::query(INSERT_RETURNING)
        .bind(parameter(log, entries))
        .fetch_all(connection)
        .await?;
    let mut ids = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<Vec<i64>, _>>()?;
    // `RETURNING` promises no order; the rows were inserted in that of the entries.
    ids.sort_unstable();
    Ok(ids)
}
