//! The log's tables, and how they are made.

use invalidation_core::{Error, ErrorKind};

use super::{
    connection::Session, header, members::members_table, read_sql::page_function,
    schema_name::SchemaName,
};
use crate::error::{code, error, from_sqlx, is_missing_table};

/// The version of the tables that this crate makes and reads.
pub(crate) const VERSION: i64 = 1;

const OPERATION: &str = "install";

/// Where the tables are, as a text: whoever finds another one in `meta` knows that they were restored from a dump,
/// whose xids are of another server.
macro_rules! home {
    () => {
        "(SELECT c.system_identifier FROM pg_control_system() AS c) || '/' ||
    (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) || '/' ||
    '{s}.log'::regclass::oid"
    };
}
pub(crate) use home;

/// `xid` is the top-level transaction, also within a savepoint. `nonce` hashes 122 random bits to 64. `scope` is not
/// checked, so that a newer version can write one that widens here (`P12`).
const TABLES: &str = concat!(
    "CREATE TABLE {s}.log (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    nonce bigint NOT NULL DEFAULT hashtextextended(gen_random_uuid()::text, 0),
    cache text,
    scope text NOT NULL,
    items text NOT NULL DEFAULT '[]',
    PRIMARY KEY (xid, id)
);
CREATE TABLE {s}.meta (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL,
    home text NOT NULL,
    floor_xid xid8,
    floor_id bigint,
    floor_nonce bigint,
    floor_tick bigint,
    floor_snapshot pg_snapshot
);
CREATE UNLOGGED TABLE {s}.epoch (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch uuid NOT NULL DEFAULT gen_random_uuid()
);
CREATE TABLE {s}.ticks (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    epoch uuid NOT NULL,
    snapshot pg_snapshot NOT NULL
);
",
    members_table!(),
    "INSERT INTO {s}.epoch DEFAULT VALUES;
INSERT INTO {s}.meta (version, home) VALUES (1, ",
    home!(),
    ");
",
    include_str!("functions.sql")
);

/// Nobody executes what he was not given.
const REVOKE: &str = "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {s} FROM PUBLIC;\n";

/// The SQL that makes the log, for those whose programs may not: to be run once, in one transaction.
pub(crate) fn install_sql(schema: &SchemaName) -> String {
    let page = page_function();
    schema.sql(&format!(
        "BEGIN;\nCREATE SCHEMA {{s}};\n{TABLES}\n{page}{REVOKE}COMMIT;\n"
    ))
}

/// The SQL that lets a role use a log which another role made.
pub(crate) fn grant_sql(schema: &SchemaName, role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let mut sql = format!("GRANT USAGE ON SCHEMA {{s}} TO {role};\n");
    for (rights, table) in [
        ("SELECT, INSERT, DELETE", "log"),
        ("SELECT, UPDATE", "meta"),
        ("SELECT, INSERT, DELETE", "epoch"),
        ("SELECT, INSERT, DELETE", "ticks"),
        ("SELECT, INSERT, UPDATE, DELETE", "members"),
    ] {
        sql.push_str(&format!("GRANT {rights} ON {{s}}.{table} TO {role};\n"));
    }
    for function in [
        "page(text[])",
        "keys(text, VARIADIC text[])",
        "tags(text, VARIADIC text[])",
        "clear(text)",
        "everything()",
    ] {
        sql.push_str(&format!(
            "GRANT EXECUTE ON FUNCTION {{s}}.{function} TO {role};\n"
        ));
    }
    schema.sql(&sql)
}

/// Makes the tables, or finds them. Safe in any number of processes at once: they take turns.
pub(crate) async fn install(session: &mut Session, schema: &SchemaName) -> Result<(), Error> {
    refuse_standby(session).await?;
    // Where all is there already nothing is written, so that a process with fewer rights can start.
    if installed_version(session, schema).await?.is_some() {
        return Ok(());
    }
    session.begin(OPERATION).await?;
    // Held until the end of the transaction, also through a pooler.
    let lock = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended('cache-invalidation {}', 0))",
        schema.as_str()
    );
    session.run(OPERATION, &lock).await?;
    let there = schema.sql("SELECT 1 WHERE to_regclass('{s}.meta') IS NOT NULL");
    if session.run(OPERATION, &there).await?.is_empty() {
        // `IF NOT EXISTS` asks for the right to create one even where it exists.
        let schema_there = format!(
            "SELECT 1 FROM pg_namespace WHERE nspname = '{}'",
            schema.as_str()
        );
        let mut sql = String::new();
        if session.run(OPERATION, &schema_there).await?.is_empty() {
            sql.push_str("CREATE SCHEMA {s};\n");
        }
        sql.push_str(TABLES);
        sql.push_str(&page_function());
        sql.push_str(REVOKE);
        session
            .try_run(&schema.sql(&sql))
            .await
            .map_err(|e| not_made(schema, e))?;
    }
    session.commit(OPERATION).await?;
    match installed_version(session, schema).await? {
        Some(_) => Ok(()),
        None => Err(header::no_meta(OPERATION)),
    }
}

fn not_made(schema: &SchemaName, source: sqlx::Error) -> Error {
    if code(&source).as_deref() != Some("42501") {
        return from_sqlx(OPERATION, source);
    }
    error(
        ErrorKind::Denied,
        OPERATION,
        format!(
            "this user may not make the log's tables: run GRANT CREATE ON DATABASE for it, or, when the schema is \
             there, GRANT CREATE ON SCHEMA \"{}\"; or let an administrator run the SQL that PgLog::install_sql and \
             PgLog::grant_sql give",
            schema.as_str()
        ),
    )
    .with_source(source)
}

/// Refuses a version that this crate does not know.
pub(crate) fn check_version(operation: &'static str, version: i64) -> Result<(), Error> {
    if version == VERSION {
        return Ok(());
    }
    Err(error(
        ErrorKind::Incompatible,
        operation,
        format!(
            "the log in this database is of version {version}, and this program knows version {VERSION}: upgrade \
             this program"
        ),
    ))
}

async fn installed_version(
    session: &mut Session,
    schema: &SchemaName,
) -> Result<Option<i64>, Error> {
    let sql = schema.sql("SELECT version::text FROM {s}.meta");
    match session.try_run(&sql).await {
        Ok(rows) => {
            let Some(row) = rows.first() else {
                return Err(header::foreign_tables(OPERATION));
            };
            let version = super::connection::text(row, 0).and_then(|v| v.parse().ok());
            check_version(OPERATION, version.unwrap_or(0))?;
            Ok(version)
        }
        Err(e) if is_missing_table(&e) => Ok(None),
        Err(e) => Err(from_sqlx(OPERATION, e)),
    }
}

async fn refuse_standby(session: &mut Session) -> Result<(), Error> {
    let rows = session
        .run(OPERATION, "SELECT 1 WHERE pg_is_in_recovery()")
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    Err(error(
        ErrorKind::Unavailable,
        OPERATION,
        "this server is a standby: connect to the primary",
    ))
}
