//! From the driver's errors to the one error of the interfaces.

use std::borrow::Cow;

use invalidation_core::{Error, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;

/// The name of this backend in errors, metrics and capabilities.
pub(crate) const BACKEND: &str = "mysql";

pub(crate) fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    Error::new(kind, BACKEND, operation, message)
}

/// What the driver's error means here, and what to do about it.
/// Numbers: <https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-codes/>.
pub(crate) fn from_sqlx(operation: &'static str, source: sqlx::Error) -> Error {
    let (kind, message): (_, Cow<'static, str>) = match &source {
        sqlx::Error::Database(database) => {
            let number = number(&source).unwrap_or_default();
            let (kind, advice) = meaning(number);
            let message = database.message();
            (kind, format!("{message} ({number}): {advice}").into())
        }
        sqlx::Error::Io(io) => (
            ErrorKind::Unavailable,
            format!("the server cannot be reached: {io}: check its address and that it runs")
                .into(),
        ),
        sqlx::Error::Tls(tls) => (
            ErrorKind::Unavailable,
            format!(
                "no TLS with the server: {tls}: check its certificate and ssl-mode; a user whose plugin is \
                 caching_sha2_password needs TLS, ssl-mode=REQUIRED or more"
            )
            .into(),
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
                 mysql://USER:PASSWORD@HOST:PORT/DATABASE, and its ssl-mode",
            );
        }
        other => (ErrorKind::Other, other.to_string().into()),
    };
    error(kind, operation, message).with_source(source)
}

/// The number of the server's error, if it is one.
pub(crate) fn number(error: &sqlx::Error) -> Option<u16> {
    match error {
        sqlx::Error::Database(database) => database
            .try_downcast_ref::<MySqlDatabaseError>()
            .map(MySqlDatabaseError::number),
        _ => None,
    }
}

/// Whether the connection that met `error` is of no more use.
pub(crate) fn breaks_connection(error: &sqlx::Error) -> bool {
    match number(error) {
        Some(number) => matches!(
            number,
            SHUTDOWN | KILLED | PACKET_TOO_LARGE | TIMED_OUT_IDLE | SOME_CONNECTIONS_LEFT
        ),
        None => true,
    }
}

/// Whether `error` says that the log's tables are not there.
pub(crate) fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(NO_TABLE | UNKNOWN_DATABASE))
}

/// Whether `error` says that another transaction holds a lock.
pub(crate) fn is_locked(error: &sqlx::Error) -> bool {
    matches!(
        number(error),
        Some(LOCK_WAIT_TIMEOUT | LOCK_NOWAIT | DEADLOCK)
    )
}

/// Whether `error` says that the user lacks a right.
pub(crate) fn is_denied(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| meaning(number).0 == ErrorKind::Denied)
}

const ACCESS_DENIED_DATABASE: u16 = 1044;
const ACCESS_DENIED: u16 = 1045;
const UNKNOWN_DATABASE: u16 = 1049;
const SHUTDOWN: u16 = 1053;
const UNKNOWN_COLUMN: u16 = 1054;
const PARSE: u16 = 1064;
const TABLE_FULL: u16 = 1114;
const HOST_NOT_ALLOWED: u16 = 1130;
const TABLE_DENIED: u16 = 1142;
const COLUMN_DENIED: u16 = 1143;
const NO_TABLE: u16 = 1146;
const PACKET_TOO_LARGE: u16 = 1153;
const KILLED: u16 = 1927;
const TIMED_OUT_IDLE: u16 = 4031;
const SOME_CONNECTIONS_LEFT: u16 = 1152;
const TOO_MANY_CONNECTIONS: u16 = 1040;
const TOO_MANY_OF_USER: u16 = 1203;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;
const RIGHT_MISSING: u16 = 1227;
const OPTION_PREVENTS: u16 = 1290;
const NO_FUNCTION: u16 = 1305;
const INTERRUPTED: u16 = 1317;
const ROUTINE_DENIED: u16 = 1370;
/// Triggers where the binary log is on.
const UNSAFE_TRIGGER: u16 = 1419;
const STATEMENT_BINLOG: u16 = 1665;
const READ_ONLY_TRANSACTION: u16 = 1792;
const READ_ONLY_MODE: u16 = 1836;
/// MariaDB's `max_statement_time`.
const STATEMENT_TIMEOUT: u16 = 1969;
const DISK_FULL: u16 = 1021;
const DISK_FULL_WRITING: u16 = 3;
/// MySQL's `max_execution_time`.
const QUERY_TIMEOUT: u16 = 3024;
const LOCK_NOWAIT: u16 = 3572;

fn meaning(number: u16) -> (ErrorKind, &'static str) {
    match number {
        ACCESS_DENIED_DATABASE | ACCESS_DENIED | HOST_NOT_ALLOWED => (
            ErrorKind::Denied,
            "check the user, its password, the host it may come from and its rights on the database",
        ),
        TABLE_DENIED | COLUMN_DENIED | RIGHT_MISSING | ROUTINE_DENIED => (
            ErrorKind::Denied,
            "let an administrator run what MySqlLog::grant_sql gives for this user",
        ),
        UNSAFE_TRIGGER => (
            ErrorKind::Denied,
            "the binary log is on: let an administrator set log_bin_trust_function_creators = 1, or attach as a user \
             who may",
        ),
        UNKNOWN_DATABASE => (
            ErrorKind::Unavailable,
            "create the database, or name another one",
        ),
        NO_TABLE => (
            ErrorKind::Unavailable,
            "the database has no invalidation log yet: run install, as a node does when it starts",
        ),
        UNKNOWN_COLUMN | PARSE | NO_FUNCTION => (
            ErrorKind::Incompatible,
            "the tables are not those of this version's log, or the server is older than MySQL 8.0.13 or MariaDB 10.6",
        ),
        OPTION_PREVENTS | READ_ONLY_TRANSACTION | READ_ONLY_MODE => (
            ErrorKind::ReadOnly,
            "the server or the transaction is read-only: connect to the primary, and check read_only and \
             transaction_read_only",
        ),
        TABLE_FULL | DISK_FULL | DISK_FULL_WRITING => {
            (ErrorKind::ReadOnly, "free space on the server's disk")
        }
        PACKET_TOO_LARGE => (
            ErrorKind::TooLarge,
            "append fewer keys at a time, or raise max_allowed_packet",
        ),
        STATEMENT_TIMEOUT | QUERY_TIMEOUT | INTERRUPTED => (
            ErrorKind::TimedOut,
            "the statement took longer than its timeout: look at the server's load, or raise the timeout",
        ),
        LOCK_WAIT_TIMEOUT | LOCK_NOWAIT | DEADLOCK => (
            ErrorKind::TimedOut,
            "another transaction was in the way: roll back and try again",
        ),
        STATEMENT_BINLOG => (
            ErrorKind::Incompatible,
            "set binlog_format to ROW or MIXED: the log works at READ COMMITTED, which the format STATEMENT forbids",
        ),
        SHUTDOWN
        | KILLED
        | TIMED_OUT_IDLE
        | SOME_CONNECTIONS_LEFT
        | TOO_MANY_CONNECTIONS
        | TOO_MANY_OF_USER => (
            ErrorKind::Unavailable,
            "the server does not serve now: the next call tries again",
        ),
        _ => (ErrorKind::Other, "unexpected"),
    }
}
