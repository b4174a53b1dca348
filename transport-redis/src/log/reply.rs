//! What the scripts answer.

use invalidation_core::{Error, ErrorKind};
use redis::Value;

use super::cursor::{Identity, Place};
use crate::error::error;

/// The version of what this crate stores.
pub(crate) const VERSION: u32 = 1;

/// An answer: whether the server leads, its history, the type of the key, the log's version, and what else it says.
#[derive(Debug)]
pub(crate) struct Reply {
    operation: &'static str,
    key: String,
    values: Vec<Value>,
}

impl Reply {
    /// Of a server that leads, and of a key that may be the log's.
    pub(crate) fn new(
        operation: &'static str,
        key: &str,
        values: Vec<Value>,
    ) -> Result<Self, Error> {
        let reply = Self {
            operation,
            key: key.to_owned(),
            values,
        };
        match reply.text(0) {
            Some("master") => {}
            Some(_) => return Err(replica(operation)),
            None => return Err(unknown(operation, key)),
        }
        if let Some(kind) = reply.text(2)
            && !matches!(kind, "none" | "stream")
        {
            return Err(error(
                ErrorKind::Incompatible,
                operation,
                format!(
                    "the key {key:?} holds a {kind}, not a log: delete it, or choose another cluster or key"
                ),
            ));
        }
        match reply.text(3).map(str::parse::<u32>) {
            None | Some(Ok(VERSION)) => Ok(reply),
            Some(found) => Err(error(
                ErrorKind::Incompatible,
                operation,
                format!(
                    "the log in {key:?} has version {}, and this program knows {VERSION}: update it",
                    found.map_or_else(|_| "?".to_owned(), |found| found.to_string())
                ),
            )),
        }
    }

    /// Whether there is a log.
    pub(crate) fn is_there(&self) -> bool {
        self.text(3).is_some()
    }

    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        let identity = match (self.text(1), self.text(4)) {
            (Some(history), Some(epoch)) => Identity::parse(history, epoch),
            _ => None,
        };
        identity.ok_or_else(|| self.unknown())
    }

    pub(crate) fn value(&self, at: usize) -> Option<&Value> {
        self.values.get(at).filter(|value| **value != Value::Nil)
    }

    /// Takes the value out.
    pub(crate) fn take(&mut self, at: usize) -> Option<Value> {
        self.values.get_mut(at).map(std::mem::take)
    }

    pub(crate) fn bytes(&self, at: usize) -> Option<&[u8]> {
        self.value(at).and_then(bytes)
    }

    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        self.bytes(at)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    pub(crate) fn integer(&self, at: usize) -> Option<i64> {
        match self.value(at) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn place(&self, at: usize) -> Option<Place> {
        self.text(at).and_then(Place::parse)
    }

    /// What is there is not what a log of this version answers.
    pub(crate) fn unknown(&self) -> Error {
        unknown(self.operation, &self.key)
    }
}

/// The bytes of a text.
pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.as_bytes()),
        _ => None,
    }
}

pub(crate) fn unknown(operation: &'static str, key: &str) -> Error {
    error(
        ErrorKind::Incompatible,
        operation,
        format!(
            "the server's answer about {key:?} is none that Redis 7 or Valkey gives for a log of this version: delete the \
             key if it is not a log, or update the server"
        ),
    )
}

fn replica(operation: &'static str) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        "the server is a replica, which may lack what was committed: connect to the primary, by redis-sentinel:// where it \
         may change",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    fn reply(values: &[&str]) -> Result<Reply, Error> {
        let values = values.iter();
        let values = values.map(|text| Value::BulkString(text.as_bytes().to_vec()));
        Reply::new("read", "k", values.collect())
    }

    fn refused(values: &[&str]) -> ErrorKind {
        reply(values).unwrap_err().kind
    }

    /// P4: a replica's answer is none, and nothing but a log of this version is read.
    #[test]
    fn only_a_log_on_a_primary_is_read() {
        assert!(
            reply(&["master", "ab", "stream", "1", "ff"])
                .unwrap()
                .is_there()
        );
        assert!(!reply(&["master", "ab", "none"]).unwrap().is_there());
        assert!(!reply(&["master", "ab", "stream"]).unwrap().is_there());
        assert_eq!(refused(&["slave"]), ErrorKind::Unavailable);
        assert_eq!(refused(&[]), ErrorKind::Incompatible);
        assert_eq!(
            refused(&["master", "ab", "string"]),
            ErrorKind::Incompatible
        );
        for version in ["0", "2", "99999999999", "x"] {
            let values = ["master", "ab", "stream", version, "ff"];
            assert_eq!(refused(&values), ErrorKind::Incompatible, "{version}");
        }
    }
}
