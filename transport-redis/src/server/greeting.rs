//! What a server says of itself: asked on connect, as a heartbeat, and behind what is published.

use std::sync::LazyLock;

use invalidation_core::{Error, ErrorKind};
use redis::{Cmd, Value};

use crate::error::{error, from_server};

/// Answered to every user, whatever its rights, and in every state of the server: `HELLO` is exempt from ACLs.
static ASK: LazyLock<Cmd> = LazyLock::new(|| {
    let mut ask = Cmd::new();
    ask.arg("HELLO").arg("3");
    ask
});

/// The command that is answered by a [`Greeting`]. It changes nothing.
pub(crate) fn ask() -> &'static Cmd {
    &ASK
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) role: Role,
    pub(crate) mode: Mode,
}

/// What the server is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    /// It follows another: what is published there stays there.
    Replica,
}

/// How the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Standalone,
    Cluster,
    Sentinel,
}

impl Greeting {
    /// Reads an answer.
    pub(crate) fn read(operation: &'static str, answer: &Value) -> Result<Self, Error> {
        let fields = match answer {
            Value::Map(fields) => fields,
            Value::ServerError(refused) => return Err(from_server(operation, refused)),
            _ => return Err(unknown(operation)),
        };
        let field = |name: &str| {
            let mut fields = fields.iter();
            let (_, value) = fields.find(|(key, _)| text(key) == Some(name))?;
            text(value)
        };
        let mode = match field("mode") {
            Some("standalone") => Mode::Standalone,
            Some("cluster") => Mode::Cluster,
            Some("sentinel") => Mode::Sentinel,
            _ => return Err(unknown(operation)),
        };
        let role = match field("role") {
            // A Sentinel says nothing of its role.
            Some("master" | "primary") | None => Role::Primary,
            Some("replica" | "slave") => Role::Replica,
            Some(_) => return Err(unknown(operation)),
        };
        Ok(Self { role, mode })
    }

    /// Refuses who is not the primary.
    pub(crate) fn is_primary(self, operation: &'static str) -> Result<(), Error> {
        match self.role {
            Role::Primary => Ok(()),
            Role::Replica => Err(error(
                ErrorKind::Unavailable,
                operation,
                "the server is a replica, and what is written or published there reaches nobody else: give the \
                 primary's address, or redis-sentinel://HOST:PORT,HOST:PORT/SERVICE where it may change",
            )),
        }
    }
}

/// Of an answer's part.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

fn unknown(operation: &'static str) -> Error {
    error(
        ErrorKind::Unsupported,
        operation,
        "the server does not answer HELLO as Redis 6 or newer and Valkey do: connect to it directly, without a proxy \
         that speaks for it",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn answer(fields: &[(&str, &str)]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = fields.iter();
        Value::Map(
            fields
                .map(|(key, value)| (text(key), text(value)))
                .collect(),
        )
    }

    /// Who follows another is told from who leads, and who says neither is not believed.
    #[test]
    fn a_replica_is_refused() {
        let read = |role| {
            let fields = [("server", "redis"), ("mode", "standalone"), ("role", role)];
            Greeting::read("test", &answer(&fields))
        };
        read("master").unwrap().is_primary("test").unwrap();
        let refused = read("replica").unwrap().is_primary("test").unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert_eq!(read("x").unwrap_err().kind, ErrorKind::Unsupported);
        let nothing = Greeting::read("test", &Value::Okay).unwrap_err();
        assert_eq!(nothing.kind, ErrorKind::Unsupported);
    }
}
