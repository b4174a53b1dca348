//! From the driver's errors to the one error of the interface.

use std::{borrow::Cow, io};

use invalidation_core::{Error, ErrorKind, Retry};

/// The name of this backend in errors, metrics and capabilities.
pub(crate) const BACKEND: &str = "sqlite";

pub(crate) fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    Error::new(kind, BACKEND, operation, message)
}

/// What SQLite's result code means here, and what to do about it.
/// Codes: <https://www.sqlite.org/rescode.html>.
pub(crate) fn from_sqlx(operation: &'static str, source: sqlx::Error) -> Error {
    let (kind, message): (_, Cow<'static, str>) = match &source {
        sqlx::Error::Database(database) => {
            let code = result_code(database.as_ref());
            let (kind, advice) = meaning(code, database.message());
            (kind, format!("{}: {advice}", database.message()).into())
        }
        sqlx::Error::Io(io) => return from_io(operation, "the database file", clone_io(io)),
        sqlx::Error::WorkerCrashed => (
            ErrorKind::Unavailable,
            "the connection's thread ended: the next call opens a new one".into(),
        ),
        other => (ErrorKind::Other, other.to_string().into()),
    };
    error(kind, operation, message).with_source(source)
}

pub(crate) fn from_io(operation: &'static str, what: &str, source: io::Error) -> Error {
    let (kind, advice) = match source.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::Unavailable,
            "does not exist: put it back, or start a node, which creates it",
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            "may not be opened: give this user read and write access to the file and its folder",
        ),
        _ => (ErrorKind::Unavailable, "cannot be reached"),
    };
    error(kind, operation, format!("{what} {advice}")).with_source(source)
}

/// Whether a connection that met `error` should be opened anew before it is used again.
pub(crate) fn breaks_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            let code = result_code(database.as_ref());
            code == READONLY_DBMOVED
                || matches!(code & 0xff, IOERR | CORRUPT | CANTOPEN | NOTADB | PROTOCOL)
        }
        _ => true,
    }
}

/// Whether `error` says that another connection holds a lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database)
        if matches!(result_code(database.as_ref()) & 0xff, BUSY | LOCKED))
}

/// Whether `error` says that the log's tables are not there.
pub(crate) fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database)
        if database.message().starts_with("no such table"))
}

const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const TOOBIG: i32 = 18;
const AUTH: i32 = 23;
const NOTADB: i32 = 26;
const BUSY_SNAPSHOT: i32 = 517;
const READONLY_DBMOVED: i32 = 1032;

fn result_code(database: &dyn sqlx::error::DatabaseError) -> i32 {
    database
        .code()
        .and_then(|code| code.parse().ok())
        .unwrap_or_default()
}

fn meaning(code: i32, message: &str) -> (ErrorKind, &'static str) {
    match (code, code & 0xff) {
        (BUSY_SNAPSHOT, _) => (
            ErrorKind::TimedOut,
            "the transaction read before it wrote, and another one committed in between: \
             roll back, and begin it with BEGIN IMMEDIATE",
        ),
        (READONLY_DBMOVED, _) => (
            ErrorKind::Unavailable,
            "the file was moved or replaced: the next call opens the one that is there now",
        ),
        (_, BUSY | LOCKED | PROTOCOL) => (
            ErrorKind::TimedOut,
            "another connection held the lock for longer than the busy timeout: \
             keep write transactions short, or raise the timeout",
        ),
        (_, READONLY) => (
            ErrorKind::ReadOnly,
            "give this user write access to the file and its folder, and do not open it with mode=ro",
        ),
        (_, FULL) => (
            ErrorKind::ReadOnly,
            "free space on the disk, raise the page limit, or shorten the retention",
        ),
        (_, PERM | AUTH) => (ErrorKind::Denied, "give this user access to the file"),
        (_, CANTOPEN) => (
            ErrorKind::Unavailable,
            "check that the file and its folder exist and that this user may open them",
        ),
        (_, IOERR) => (ErrorKind::Unavailable, "check the disk"),
        (_, CORRUPT | NOTADB) => (
            ErrorKind::Incompatible,
            "the file is damaged or no SQLite database: restore it, or name another one",
        ),
        (_, TOOBIG) => (ErrorKind::TooLarge, "append fewer keys at a time"),
        _ if message.starts_with("no such table") => (
            ErrorKind::Unavailable,
            "the file has no invalidation log yet: run install, as a node does when it starts",
        ),
        _ if message.starts_with("no such column") => (
            ErrorKind::Incompatible,
            "the tables are not those of this version's log: upgrade this program",
        ),
        _ => (ErrorKind::Other, "unexpected"),
    }
}

fn clone_io(source: &io::Error) -> io::Error {
    io::Error::new(source.kind(), source.to_string())
}

/// The stored log is of a version that this program cannot use.
pub(crate) fn incompatible(operation: &'static str, message: String) -> Error {
    error(ErrorKind::Incompatible, operation, message).with_retry(Retry::Permanent)
}
