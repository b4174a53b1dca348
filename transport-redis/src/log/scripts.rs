//! What runs in the server, as Lua: each script is one step there.

use std::sync::LazyLock;

use invalidation_core::{Error, ErrorKind};
use redis::{Cmd, RedisError, Value};

use super::reply::Reply;
use crate::{
    error::{error, from_redis},
    server::Link,
};

/// Makes the log where there is none.
pub(crate) static INSTALL: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/install.lua")
    ))
});

/// Gives the log another epoch.
pub(crate) static TURN: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/turn.lua")
    ))
});

/// Appends entries.
pub(crate) static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/append_rows.lua"),
        include_str!("lua/append.lua")
    ))
});

/// Looks at the log, and reads one page.
pub(crate) static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::reading(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/read.lua")
    ))
});

/// Deletes what is old.
pub(crate) static PURGE: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/purge.lua")
    ))
});

/// A script that the server keeps by its hash.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    hash: String,
    by_hash: &'static str,
    by_text: &'static str,
}

impl Script {
    fn writing(text: &'static str) -> Self {
        Self::new(text, "EVALSHA", "EVAL")
    }

    /// The server refuses every write in it, and a user needs no right to write.
    fn reading(text: &'static str) -> Self {
        Self::new(text, "EVALSHA_RO", "EVAL_RO")
    }

    fn new(text: &'static str, by_hash: &'static str, by_text: &'static str) -> Self {
        Self {
            text,
            hash: redis::Script::new(text).get_hash().to_owned(),
            by_hash,
            by_text,
        }
    }

    /// Runs it on `key`, without a time limit.
    pub(crate) async fn run(
        &self,
        operation: &'static str,
        link: &Link,
        key: &str,
        arguments: &Arguments,
    ) -> Result<Reply, Error> {
        let by_hash = arguments.command(self.by_hash, &self.hash, key);
        let answer = match link.ask(&by_hash).await {
            // It was never run there, or the server was started again: nothing was done yet.
            Err(e) if e.code() == Some("NOSCRIPT") => {
                let by_text = arguments.command(self.by_text, self.text, key);
                link.ask(&by_text).await
            }
            answer => answer,
        };
        match answer {
            Ok(Value::Array(values)) => Reply::new(operation, key, values),
            Ok(_) => Err(super::reply::unknown(operation, key)),
            Err(e) => Err(from_script(operation, e)),
        }
    }
}

/// The arguments of a call.
#[derive(Debug, Default)]
pub(crate) struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    pub(crate) fn push(&mut self, argument: impl Into<Vec<u8>>) {
        self.0.push(argument.into());
    }

    pub(crate) fn into_inner(self) -> Vec<Vec<u8>> {
        self.0
    }

    #[must_use]
    pub(crate) fn and(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.push(argument);
        self
    }

    fn command(&self, verb: &str, script: &str, key: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(1).arg(key);
        for argument in &self.0 {
            command.arg(argument);
        }
        command
    }
}

impl From<Vec<Vec<u8>>> for Arguments {
    fn from(arguments: Vec<Vec<u8>>) -> Self {
        Self(arguments)
    }
}

/// What the driver's error means. One that came from within a script names no code of its own for a right that is missing.
pub(crate) fn from_script(operation: &'static str, source: RedisError) -> Error {
    let detail = source.detail().unwrap_or_default();
    if detail.contains("The user executing the script can't") {
        return error(
            ErrorKind::Denied,
            operation,
            "the user may not run a command of the log's scripts, or not on its key: give it the rights that the docs of \
             RedisLog name with ACL SETUSER",
        );
    }
    from_redis(operation, source)
}
