//! What can go wrong here, in the words of the interface.

use std::time::Duration;

use invalidation_core::{Error, ErrorKind};

use crate::error::{self, code, error};

const PROTOCOL_VIOLATION: &str = "08P01";

/// What the driver's error means to a transport.
pub(super) fn from_sqlx(operation: &'static str, source: sqlx::Error) -> Error {
    let (kind, message) = match (code(&source).as_deref(), &source) {
        // pgbouncer has no other code for it.
        (Some(PROTOCOL_VIOLATION), sqlx::Error::Database(database))
            if database.message().contains("authentication failed") =>
        {
            (ErrorKind::Denied, "check the user and its password")
        }
        (_, sqlx::Error::PoolTimedOut) => (
            ErrorKind::TimedOut,
            "the server took no further connection in time: check its load and max_connections",
        ),
        _ => return error::from_sqlx(operation, source),
    };
    error(kind, operation, message).with_source(source)
}

pub(super) fn closed(operation: &'static str) -> Error {
    error(
        ErrorKind::Closed,
        operation,
        "the transport was closed: build another one",
    )
}

pub(super) fn timed_out(operation: &'static str, limit: Duration) -> Error {
    error(
        ErrorKind::TimedOut,
        operation,
        format!(
            "the server did not answer within {limit:?}: check the network and the server's load"
        ),
    )
}

/// The listener's link ended without a reason of the driver's.
pub(super) fn link_lost(message: &'static str) -> Error {
    error(ErrorKind::Unavailable, "subscribe", message)
}

/// What the self-test of a subscription found: `LISTEN` succeeded, and nothing will ever come.
pub(super) fn pooler_in_between() -> Error {
    error(
        ErrorKind::Invalid,
        "subscribe",
        "LISTEN was accepted, and a notification sent from another connection never came: a pooler that shares \
         sessions stands in between, such as pgbouncer with pool_mode = transaction. Give this transport a URL of its \
         own that goes directly to the server, or to a pool with pool_mode = session",
    )
}

/// The database does not say in which encoding its texts are, so that a notification may be no text at all.
pub(super) fn encoding_unknown() -> Error {
    error(
        ErrorKind::Invalid,
        "subscribe",
        "the database's encoding is SQL_ASCII: use a UTF8 database",
    )
}
