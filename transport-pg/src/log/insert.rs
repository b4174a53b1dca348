//! The one statement that appends, for this log's own connection and for any other.

use invalidation_core::Entry;
use sqlx::PgConnection;

use super::{
    connection::{raw, text},
    cursor::{Identity, Place},
    header,
    literal::inline,
    rows::encode,
    schema_name::SchemaName,
};

/// Appends the entries of its one JSON parameter, in order, and nothing at all in a database that is not the log's,
/// also when it is a copy of it.
///
/// `items` goes from text to text: PostgreSQL's own texts cannot hold the NUL that JSON can.
const INSERT: &str = "WITH given AS MATERIALIZED (SELECT $1::text::json AS j)
INSERT INTO {s}.log (nonce, cache, scope, items)
SELECT (v.entry ->> 0)::bigint, v.entry ->> 1, v.entry ->> 2, v.entry ->> 3
FROM given, json_array_elements(given.j -> 'entries') WITH ORDINALITY AS v (entry, number)
WHERE given.j ->> 'log' = (
    SELECT replace(e.epoch::text, '-', '')
        || '/' || (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        || '/' || '{s}.log'::regclass::oid
        || '/' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
    FROM {s}.epoch AS e
)
ORDER BY v.number";

/// The statement, for a driver that binds its parameter.
pub(crate) fn statement(schema: &SchemaName) -> String {
    schema.sql(INSERT)
}

/// The parameter of [`statement`].
pub(crate) fn parameter<'a>(log: Identity, entries: impl Iterator<Item = &'a Entry>) -> String {
    let entries: Vec<_> = entries
        .map(|entry| {
            let (cache, scope, items) = encode(&entry.invalidation);
            // A nonce travels as text, because JSON readers turn large integers into doubles.
            let nonce = entry.nonce.0.cast_signed().to_string();
            let items = serde_json::json!(items).to_string();
            serde_json::json!([nonce, cache, scope, items])
        })
        .collect();
    serde_json::json!({ "log": log.seal(), "entries": entries }).to_string()
}

/// Runs it; the places in the order of the entries, or none when this is not the database of `log`. `before` is SQL
/// for the same message.
///
/// By the simple protocol: one round trip, and right behind any pooler.
pub(crate) async fn insert<'a>(
    connection: &mut PgConnection,
    before: &str,
    schema: &SchemaName,
    log: Identity,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<Vec<Place>, sqlx::Error> {
    let returning = schema.sql(INSERT) + " RETURNING xid::text, id::text";
    let parameter = parameter(log, entries);
    let sql = before.to_owned() + &inline(&returning, &[Some(&parameter)]);
    let mut places = Vec::new();
    for row in raw(connection, sql).await? {
        let place = match (text(&row, 0), text(&row, 1)) {
            (Some(xid), Some(id)) => header::place(xid, id),
            _ => None,
        };
        let unreadable = || sqlx::Error::Protocol("the row appended has no place".into());
        places.push(place.ok_or_else(unreadable)?);
    }
    // `RETURNING` promises no order; the rows were inserted in that of the entries.
    places.sort_unstable();
    Ok(places)
}
