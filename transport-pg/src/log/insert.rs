//! The one statement that appends, for this log's own connection and for any other.

use invalidation_core::Entry;
use invalidation_log_rows::Row;
use sqlx::{AssertSqlSafe, PgConnection, postgres::PgRow};

use super::{
    connection::{raw, text},
    cursor::{Identity, Place},
    header,
    literal::inline,
    schema_name::SchemaName,
};

/// The database's [`Identity::seal`].
macro_rules! seal {
    () => {
        "(
    SELECT replace(e.epoch::text, '-', '')
        || '/' || (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        || '/' || '{s}.log'::regclass::oid
        || '/' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
    FROM {s}.epoch AS e
)"
    };
}

const RETURNING: &str = " RETURNING xid::text, id::text";

/// Appends the entries of its one JSON parameter, in order, and nothing at all in a database that is not the log's,
/// also when it is a copy of it.
///
/// `items` goes from text to text: PostgreSQL's own texts cannot hold the NUL that JSON can.
const OF_JSON: &str = concat!(
    "WITH given AS MATERIALIZED (SELECT $1::text::json AS j)
INSERT INTO {s}.log (nonce, cache, scope, items)
SELECT (v.entry ->> 0)::bigint, v.entry ->> 1, v.entry ->> 2, v.entry ->> 3
FROM given, json_array_elements(given.j -> 'entries') WITH ORDINALITY AS v (entry, number)
WHERE given.j ->> 'log' = ",
    seal!(),
    " ORDER BY v.number"
);

/// Whether this is the database of `$1` to `$4`, in parts that are cheap to compare. The path of a table's file begins with
/// the folder of its database, `base/OID` or `pg_tblspc/OID/PG_VERSION/OID`.
macro_rules! is_here {
    () => {
        "e.epoch = $1::text::uuid
    AND '{s}.log'::regclass::bigint = $2::bigint
    AND (pg_relation_filepath('{s}.log'::regclass) LIKE 'base/' || $3::text || '/%'
        OR pg_relation_filepath('{s}.log'::regclass) LIKE 'pg_tblspc/%/PG\\_%/' || $3::text || '/%')
    AND date_part('epoch', pg_postmaster_start_time()) = $4::float8"
    };
}

/// Microseconds as the seconds that the server makes of the same instant, which are no others for any other.
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// The same of typed parameters, for one entry: prepared, it costs the server hardly more than a plain insert does, and
/// half of what the text of [`OF_JSON`] costs it.
const OF_ONE: &str = concat!(
    "INSERT INTO {s}.log (nonce, cache, scope, items)
SELECT $5::bigint, $6::text, $7::text, $8::text FROM {s}.epoch AS e WHERE ",
    is_here!()
);

/// The same for any number, as arrays.
const OF_ARRAYS: &str = concat!(
    "INSERT INTO {s}.log (nonce, cache, scope, items)
SELECT v.nonce, v.cache, v.scope, v.items
FROM {s}.epoch AS e, unnest($5::bigint[], $6::text[], $7::text[], $8::text[])
    WITH ORDINALITY AS v (nonce, cache, scope, items, number)
WHERE ",
    is_here!(),
    " ORDER BY v.number"
);

/// The statement, for a driver that binds its parameter.
pub(crate) fn statement(schema: &SchemaName) -> String {
    schema.sql(OF_JSON)
}

/// The parameter of [`statement`].
pub(crate) fn parameter<'a>(log: Identity, entries: impl Iterator<Item = &'a Entry>) -> String {
    invalidation_log_rows::parameter(&log.seal(), entries)
}

/// Appends as one message of the simple protocol, which is right behind any pooler; the places in the order of the
/// entries, or none when this is not the database of `log`. `before` is SQL for the same message.
pub(crate) async fn insert_as_text<'a>(
    connection: &mut PgConnection,
    before: &str,
    schema: &SchemaName,
    log: Identity,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<Vec<Place>, sqlx::Error> {
    let returning = statement(schema) + RETURNING;
    let parameter = parameter(log, entries);
    let sql = before.to_owned() + &inline(&returning, &[Some(&parameter)]);
    places(&raw(connection, sql).await?)
}

/// The same by a prepared statement, which the connection keeps.
pub(crate) async fn insert_prepared<'a>(
    connection: &mut PgConnection,
    schema: &SchemaName,
    log: Identity,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<Vec<Place>, sqlx::Error> {
    let mut rows: Vec<_> = entries
        .map(Row::of)
        .map(|row| (row.nonce, row.cache, row.scope, row.items_as_json()))
        .collect();
    let of = if rows.len() == 1 { OF_ONE } else { OF_ARRAYS };
    let sql = schema.sql(of) + RETURNING;
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(format!("{:032x}", log.epoch))
        .bind(i64::from(log.table))
        .bind(log.database.to_string())
        .bind(seconds(log.started));
    let query = match rows.pop() {
        Some((nonce, cache, scope, items)) if rows.is_empty() => {
            query.bind(nonce).bind(cache).bind(scope).bind(items)
        }
        last => {
            let all = || rows.iter().chain(&last);
            query
                .bind(all().map(|row| row.0).collect::<Vec<_>>())
                .bind(all().map(|row| row.1).collect::<Vec<_>>())
                .bind(all().map(|row| row.2).collect::<Vec<_>>())
                .bind(all().map(|row| row.3.as_str()).collect::<Vec<_>>())
        }
    };
    places(&query.fetch_all(connection).await?)
}

fn places(rows: &[PgRow]) -> Result<Vec<Place>, sqlx::Error> {
    let place = |row| match (text(row, 0), text(row, 1)) {
        (Some(xid), Some(id)) => header::place(xid, id),
        _ => None,
    };
    let unreadable = || sqlx::Error::Protocol("the row appended has no place".into());
    let places: Result<Vec<_>, _> = rows
        .iter()
        .map(|row| place(row).ok_or_else(unreadable))
        .collect();
    let mut places = places?;
    // `RETURNING` promises no order; the rows were inserted in that of the entries.
    places.sort_unstable();
    Ok(places)
}
