//! From the driver's errors to the one error of the interfaces.

use std::borrow::Cow;

use invalidation_core::{Error, ErrorKind};

/// The name of this backend in errors, metrics and capabilities.
pub(crate) const BACKEND: &str = "postgres";

pub(crate) fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    Error::new(kind, BACKEND, operation, message)
}

/// What the driver's error means here, and what to do about it.
/// Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(crate) fn from_sqlx(operation: &'static str, source: sqlx::Error) -> Error {
    let (kind, message): (_, Cow<'static, str>) = match &source {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let (kind, advice) = meaning(&code);
            let message = database.message();
            (kind, format!("{message} ({code}): {advice}").into())
        }
        sqlx::Error::Io(io) => (
            ErrorKind::Unavailable,
            format!("the server cannot be reached: {io}: check its address and that it runs")
                .into(),
        ),
        sqlx::Error::Tls(tls) => (
            ErrorKind::Unavailable,
            format!("no TLS with the server: {tls}: check its certificate and sslmode").into(),
        ),
        sqlx::Error::Protocol(what) => (
            ErrorKind::Unavailable,
            format!("the link broke within an answer: {what}: the next call opens another").into(),
        ),
        // Its text may quote what was configured, and that may hold a password.
        sqlx::Error::Configuration(_) => {
            return error(
                ErrorKind::Invalid,
                operation,
                "the connection's settings cannot be used: check the URL, \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            );
        }
        other => (ErrorKind::Other, other.to_string().into()),
    };
    error(kind, operation, message).with_source(source)
}

/// The five characters of the server's error, if it is one.
pub(crate) fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    match error {
        sqlx::Error::Database(database) => database.code(),
        _ => None,
    }
}

/// Whether the connection that met `error` is of no more use.
pub(crate) fn breaks_connection(error: &sqlx::Error) -> bool {
    match code(error) {
        Some(code) => matches!(code.get(..2), Some("08" | "57" | "58" | "XX")) && code != CANCELED,
        None => true,
    }
}

/// Whether `error` says that the log's tables are not there.
pub(crate) fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(
        code(error).as_deref(),
        Some(UNDEFINED_TABLE | INVALID_SCHEMA)
    )
}

/// Whether a pooler in between refused a parameter of the session.
pub(crate) fn refuses_parameter(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(PROTOCOL_VIOLATION)
}

const PROTOCOL_VIOLATION: &str = "08P01";
const NOT_SUPPORTED: &str = "0A000";
const READ_ONLY: &str = "25006";
const INVALID_SCHEMA: &str = "3F000";
const NO_DATABASE: &str = "3D000";
const NO_RIGHT: &str = "42501";
const UNDEFINED_COLUMN: &str = "42703";
const UNDEFINED_FUNCTION: &str = "42883";
const UNDEFINED_TABLE: &str = "42P01";
const DISK_FULL: &str = "53100";
const CANCELED: &str = "57014";
const LOCK_NOT_AVAILABLE: &str = "55P03";
const DEADLOCK: &str = "40P01";
const NOT_SERIALIZABLE: &str = "40001";
const UNTRANSLATABLE: &str = "22P05";

fn meaning(code: &str) -> (ErrorKind, &'static str) {
    match code {
        // An unlogged table cannot be read there.
        NOT_SUPPORTED => (
            ErrorKind::Unavailable,
            "most likely this server is a standby: connect to the primary",
        ),
        READ_ONLY => (
            ErrorKind::ReadOnly,
            "the server or the transaction is read-only: connect to the primary, and check \
             default_transaction_read_only",
        ),
        DISK_FULL => (ErrorKind::ReadOnly, "free space on the server's disk"),
        UNDEFINED_TABLE | INVALID_SCHEMA => (
            ErrorKind::Unavailable,
            "the database has no invalidation log in this schema yet: run install, as a node does when it starts",
        ),
        UNDEFINED_COLUMN | UNDEFINED_FUNCTION => (
            ErrorKind::Incompatible,
            "the tables are not those of this version's log, or the server is older than PostgreSQL 13",
        ),
        NO_RIGHT => (
            ErrorKind::Denied,
            "let the schema's owner run what PgLog::grant_sql gives for this user",
        ),
        NO_DATABASE => (
            ErrorKind::Unavailable,
            "create the database, or name another one",
        ),
        CANCELED => (
            ErrorKind::TimedOut,
            "the statement took longer than its timeout: look at the server's load, or raise the timeout",
        ),
        LOCK_NOT_AVAILABLE | DEADLOCK | NOT_SERIALIZABLE => (
            ErrorKind::TimedOut,
            "another transaction was in the way: roll back and try again",
        ),
        UNTRANSLATABLE => (
            ErrorKind::Invalid,
            "the database's encoding lacks a character of a key: use a UTF8 database",
        ),
        _ => match code.get(..2) {
            Some("08" | "53" | "57" | "58") => (
                ErrorKind::Unavailable,
                "the server does not serve now: the next call tries again",
            ),
            Some("28") => (ErrorKind::Denied, "check the user and its password"),
            Some("54") => (ErrorKind::TooLarge, "append fewer keys at a time"),
            _ => (ErrorKind::Other, "unexpected"),
        },
    }
}
