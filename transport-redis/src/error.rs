//! From the driver's errors to the one error of the interfaces.

use std::{borrow::Cow, io, time::Duration};

use invalidation_core::{Error, ErrorKind};
use redis::{RedisError, ServerError};

/// The name of this backend in errors, metrics and capabilities.
pub(crate) const BACKEND: &str = "redis";

pub(crate) fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    Error::new(kind, BACKEND, operation, message)
}

/// The same error once more, for another caller.
pub(crate) fn duplicate(original: &Error) -> Error {
    let copy = Error::new(
        original.kind,
        original.backend,
        original.operation,
        original.message.clone(),
    )
    .with_retry(original.retry);
    match &original.source {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    }
}

pub(crate) fn timed_out(operation: &'static str, limit: Duration) -> Error {
    error(
        ErrorKind::TimedOut,
        operation,
        format!(
            "the server did not answer within {limit:?}: check the network and the server's load"
        ),
    )
}

pub(crate) fn unreachable(operation: &'static str, to: &str, source: io::Error) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        format!("{to} cannot be reached: {source}: check the address and that the server runs"),
    )
    .with_source(source)
}

/// What the driver's error means here, and what to do about it.
pub(crate) fn from_redis(operation: &'static str, source: RedisError) -> Error {
    if let Some(code) = source.code() {
        let detail = source.detail().unwrap_or_default();
        return refused(operation, code, detail);
    }
    let (kind, message): (_, Cow<'static, str>) = match source.kind() {
        redis::ErrorKind::Io => (
            ErrorKind::Unavailable,
            format!("the link to the server was lost: {source}: the next call opens another")
                .into(),
        ),
        redis::ErrorKind::Parse => (
            ErrorKind::Unavailable,
            "what came is no answer of a Redis: check the address, and write rediss:// where the server expects TLS"
                .into(),
        ),
        redis::ErrorKind::AuthenticationFailed => {
            (ErrorKind::Denied, "check the user and its password".into())
        }
        // The server's own text quotes what was sent with HELLO: the password.
        redis::ErrorKind::RESP3NotSupported => return too_old(operation),
        _ => (ErrorKind::Other, source.to_string().into()),
    };
    error(kind, operation, message).with_source(source)
}

/// What an error means that came as an answer.
pub(crate) fn from_server(operation: &'static str, source: &ServerError) -> Error {
    refused(
        operation,
        source.code(),
        source.details().unwrap_or_default(),
    )
}

fn too_old(operation: &'static str) -> Error {
    error(
        ErrorKind::Unsupported,
        operation,
        "the server does not know HELLO 3: use Redis 6 or newer, or Valkey",
    )
}

/// By the first word of the server's answer; without the driver's error as a source, which may quote what was sent.
fn refused(operation: &'static str, code: &str, detail: &str) -> Error {
    let (kind, advice) = match code {
        "NOAUTH" => (ErrorKind::Denied, "give the user and its password"),
        "WRONGPASS" => (ErrorKind::Denied, "check the user and its password"),
        "NOPERM" => (
            ErrorKind::Denied,
            "give the user the right to this command, key or channel with ACL SETUSER",
        ),
        "DENIED" => (
            ErrorKind::Denied,
            "the server is in protected mode: set a password, or connect from its own host",
        ),
        "READONLY" => (
            ErrorKind::ReadOnly,
            "the server is a replica: connect to the primary, by redis-sentinel:// where it may change",
        ),
        "OOM" => (
            ErrorKind::ReadOnly,
            "the server's maxmemory is used up: free some, or raise it",
        ),
        "MISCONF" => (
            ErrorKind::ReadOnly,
            "the server cannot save to its disk, and stop-writes-on-bgsave-error is set: see its log",
        ),
        "NOREPLICAS" => (
            ErrorKind::ReadOnly,
            "fewer replicas are linked than min-replicas-to-write: bring them back",
        ),
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => (
            ErrorKind::Unavailable,
            "the server does not serve now: the next call tries again",
        ),
        "MOVED" | "ASK" => (
            ErrorKind::Unavailable,
            "the slot has moved: the next call finds the node that has it now, if redis-cluster:// is what was given",
        ),
        "CROSSSLOT" => (
            ErrorKind::Invalid,
            "put the names of one hash tag, {…}, into all keys",
        ),
        "WRONGTYPE" => (
            ErrorKind::Incompatible,
            "something else is stored under a key of this name: choose another, or delete it",
        ),
        "NOPROTO" => return too_old(operation),
        "ERR" if detail.contains("max number of clients") => (
            ErrorKind::Unavailable,
            "the server takes no further connection: see its maxclients",
        ),
        // The driver says ERR of whatever the server answered to SELECT.
        "ERR" if detail.contains("no permissions to run the 'select' command") => (
            ErrorKind::Denied,
            "give the user +select with ACL SETUSER, which another database than 0 needs",
        ),
        "ERR" if detail.contains("unknown command") => (
            ErrorKind::Unsupported,
            "the server is too old, or the command was renamed away",
        ),
        _ => (ErrorKind::Other, "unexpected"),
    };
    // What follows quotes the arguments, with HELLO the password.
    let told = detail.split(", with args beginning").next();
    let told = told.unwrap_or_default();
    error(kind, operation, format!("{code} {told}: {advice}"))
}
