//! A write of business data in Redis itself that invalidations can join.

use std::fmt;

use invalidation_core::{Entry, Error, ErrorKind, JoinsLog, Position};
use redis::{Cmd, FromRedisValue, RedisError, aio::ConnectionLike};

use super::{
    RedisLog, append::check_size, cursor::Identity, reply::VERSION, rows::encode,
    scripts::Arguments,
};
use crate::error::error;

/// A write of business data that is in the same Redis as the log, as a Lua script. Invalidations that join it are appended
/// in the same step: either both happen, or none.
///
/// ```no_run
/// # use invalidation_core::{Cache, Node};
/// # use invalidation_transport_redis::RedisWrite;
/// # async fn rename(
/// #     node: Node, users: Cache<i64, String>, mut connection: redis::aio::MultiplexedConnection,
/// # ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let mut write = RedisWrite::new("return redis.call('HSET', KEYS[1], 'name', ARGV[1])")
///     .key("user:{billing}:42")
///     .argument("Ada");
/// let pending = node.changes().keys(&users, [&42]).log_in(&mut write).await?;
/// pending.commit(write.run::<i64, _>(&mut connection)).await?;
/// # Ok(()) }
/// ```
///
/// # What is one step
/// The entries are appended first, then the script runs; no other client sees what is between. When the entries cannot be
/// appended (the server is full, a replica, or not the log's), the script does not run. When the script itself fails half
/// way, Redis keeps what it had done, and the entries too: an invalidation without its write costs a miss and is never
/// wrong. In `MULTI` Redis would go on after an error, which is why this is no pipeline.
///
/// In the script `KEYS` and `ARGV` begin with those given here; what follows them is the log's. In a Redis cluster all keys
/// must share the hash tag of the log's key. On another database than the log's, and after the log was deleted, it fails
/// with `NOLOG` and writes nothing: begin anew.
///
/// # Business data elsewhere
/// There it takes two steps. [`append_only`](Self::append_only) writes nothing of its own; run after the commit, within
/// the future that a [`Pending`](invalidation_core::Pending) awaits, the keys are held on this node meanwhile:
///
/// ```text
/// let mut append = RedisWrite::append_only();
/// let pending = node.changes().keys(&users, [&42]).log_in(&mut append).await?;
/// pending.commit(async { tx.commit().await?; append.run::<(), _>(&mut connection).await }).await?;
/// ```
///
/// That is weaker than `P2`: a process that dies between the two steps leaves the other nodes with the old value until its
/// TTL. When the second step fails, the entries are applied here and
/// published as claimed, which reaches the nodes that a transport reaches.
#[must_use = "nothing is written until `run`"]
#[derive(Clone)]
pub struct RedisWrite {
    script: String,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
    joined: Option<Joined>,
}

/// The log that was joined, and with what.
#[derive(Clone)]
struct Joined {
    key: String,
    identity: Identity,
    max_entries: String,
    entries: Vec<Entry>,
}

impl RedisWrite {
    /// Runs this Lua script.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            keys: Vec::new(),
            arguments: Vec::new(),
            joined: None,
        }
    }

    /// Writes nothing but the entries that join it.
    pub fn append_only() -> Self {
        Self::new("return redis.status_reply('OK')")
    }

    /// The script's next key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// The script's next argument.
    pub fn argument(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The whole script, with the log's part in front: for clients that this crate does not know, with
    /// [`keys`](Self::keys) and [`arguments`](Self::arguments).
    pub fn script(&self) -> String {
        let own = &self.script;
        if self.joined.is_none() {
            return own.clone();
        }
        format!(
            "do\n{}{}{}end\n{own}",
            include_str!("lua/common.lua"),
            include_str!("lua/append_rows.lua"),
            include_str!("lua/write.lua")
        )
    }

    /// All keys of [`script`](Self::script).
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys = self.keys.clone();
        keys.extend(self.joined.iter().map(|joined| joined.key.clone().into()));
        keys
    }

    /// All arguments of [`script`](Self::script).
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        let Some(joined) = &self.joined else {
            return self.arguments.clone();
        };
        let mut arguments = Arguments::from(self.arguments.clone())
            .and(VERSION.to_string())
            .and(joined.identity.epoch())
            .and(joined.max_entries.clone());
        for entry in &joined.entries {
            encode(entry, &mut arguments);
        }
        arguments.and(self.arguments.len().to_string()).into_inner()
    }

    /// Runs it on a connection of the service, to the log's own server and database. One attempt.
    ///
    /// # Errors
    /// The server's. Whether anything was written is unknown when the link was lost.
    pub async fn run<T: FromRedisValue, C: ConnectionLike + Send>(
        self,
        connection: &mut C,
    ) -> Result<T, RedisError> {
        let script = self.script();
        let hash = redis::Script::new(&script).get_hash().to_owned();
        let (keys, arguments) = (self.keys(), self.arguments());
        match command("EVALSHA", &hash, &keys, &arguments)
            .query_async(connection)
            .await
        {
            // It was never run there: nothing was done yet.
            Err(e) if e.code() == Some("NOSCRIPT") => {
                command("EVAL", &script, &keys, &arguments)
                    .query_async(connection)
                    .await
            }
            answer => answer,
        }
    }
}

fn command(verb: &str, script: &str, keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> Cmd {
    let mut command = redis::cmd(verb);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}

impl JoinsLog<RedisLog> for RedisWrite {
    /// Asks the log's server which log it is, and keeps the entries for [`run`](RedisWrite::run). Their positions are not
    /// known.
    async fn append_in(
        &mut self,
        log: &RedisLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        const OPERATION: &str = "join";
        let shared = &log.shared;
        let (_, identity) = shared.head(OPERATION).await?;
        let mut all = Vec::new();
        if let Some(joined) = &self.joined {
            if joined.key != shared.settings.key || joined.identity.epoch() != identity.epoch() {
                return Err(error(
                    ErrorKind::Invalid,
                    OPERATION,
                    "the write joined another log before: begin anew",
                ));
            }
            all.clone_from(&joined.entries);
        }
        all.extend_from_slice(entries);
        check_size(OPERATION, &all)?;
        self.joined = Some(Joined {
            key: shared.settings.key.clone(),
            identity,
            max_entries: shared.settings.max_entries.clone(),
            entries: all,
        });
        Ok(Vec::new())
    }
}

/// Without what it writes.
impl fmt::Debug for RedisWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWrite")
            .field("keys", &self.keys.len())
            .field("arguments", &self.arguments.len())
            .field(
                "entries",
                &self
                    .joined
                    .as_ref()
                    .map_or(0, |joined| joined.entries.len()),
            )
            .finish_non_exhaustive()
    }
}
