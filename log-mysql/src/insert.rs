//! The one statement that appends, for this log's own connection and for any other.

use invalidation_core::Entry;
use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::{database_name::DatabaseName, flavour::Flavour};

/// Appends the entries of its one JSON parameter, in order, and nothing at all on a server that is not the log's, also
/// when it has a copy of it.
///
/// It reads no table: at REPEATABLE READ the servers would lock each row that it read until the transaction ends.
/// `items` goes from text to text, with the escapes that JSON needs. The parameter is converted first: where a session has
/// another character set MariaDB would lose the texts that do not fit into it.
const INSERT: &str = "INSERT INTO {d}.cache_invalidation_log (nonce, cache, scope, items)
SELECT e.nonce, e.cache, e.scope, e.items FROM (SELECT CONVERT(? USING utf8mb4) AS given) AS g, JSON_TABLE(g.given, '$.entries[*]' COLUMNS (
    place FOR ORDINALITY,
    nonce BIGINT PATH '$[0]',
    cache VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[1]',
    scope VARCHAR(32) CHARACTER SET utf8mb4 PATH '$[2]',
    items LONGTEXT CHARACTER SET utf8mb4 PATH '$[3]'
)) AS e
WHERE CONVERT(JSON_UNQUOTE(JSON_EXTRACT(g.given, '$.log')) USING utf8mb4) COLLATE utf8mb4_bin = {server} COLLATE utf8mb4_bin
ORDER BY e.place";

/// The statement, for a driver that binds its parameter.
pub(crate) fn statement(database: &DatabaseName, flavour: Flavour) -> String {
    database.sql(INSERT).replace("{server}", flavour.server())
}

/// The parameter of [`statement`], in ASCII alone: a session's character set means nothing to it.
pub(crate) fn parameter<'a>(server: &str, entries: impl Iterator<Item = &'a Entry>) -> String {
    ascii(&invalidation_log_rows::parameter(server, entries))
}

/// As the column holds it.
pub(crate) const fn nonce(entry: &Entry) -> i64 {
    entry.nonce.0.cast_signed()
}

/// JSON with escapes for all that is not ASCII, which stands within its texts alone.
fn ascii(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// Runs it; how many rows it inserted, which are none when this is not the server of `server`.
///
/// It is prepared for once: the connection may be anybody's.
pub(crate) async fn insert(
    connection: &mut MySqlConnection,
    sql: &str,
    parameter: &str,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(parameter)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a text holds, its JSON is ASCII and means the same.
    #[test]
    fn json_is_written_in_ascii() {
        let value = serde_json::json!(["ä\u{1}\"\\", "🦀"]);
        let text = ascii(&value.to_string());
        assert!(text.is_ascii(), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).ok(),
            Some(value)
        );
    }
}
