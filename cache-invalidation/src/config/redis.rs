//! Redis: `log.url` with `[log.redis]`, and `[transport.redis]`.

use std::ops::RangeInclusive;

use invalidation_core::ClusterName;

use super::{
    backend::Backend,
    broker::{self, BrokerServers, Words},
    credential::SENTINEL_PASSWORD,
    frames::{self, FramesConfig},
    log::LogChoice,
    secret::Secret,
    table::Table,
};

/// The log on Redis: `log.url`, and `[log.redis]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The servers.
    pub servers: RedisServers,
    /// The stream that holds the log. Default: one that is named after the cluster.
    pub key: Option<String>,
    /// About how many entries the server keeps at most, whatever the retention.
    pub max_entries: Option<u64>,
    /// Whether a server may be used that evicts the log when it is full. Default `false`.
    pub allow_eviction: bool,
}

/// `[transport.redis]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisTransportConfig {
    /// The servers, which may be those of the log.
    pub servers: RedisServers,
    /// How frames are sent and taken.
    pub frames: FramesConfig,
}

/// Where the servers are, and who the node is to them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisServers {
    /// What all brokers have. The URL is one of `redis://HOST:PORT/DB`, `redis-sentinel://HOST:PORT,HOST:PORT/SERVICE` and
    /// `redis-cluster://HOST:PORT,HOST:PORT`, with `rediss` for TLS; or the same of Valkey.
    pub broker: BrokerServers,
    /// The user on the Sentinels themselves.
    pub sentinel_user: Option<String>,
    /// The password on the Sentinels themselves.
    pub sentinel_password: Option<Secret>,
}

const WORDS: Words = Words {
    backend: Backend::Redis,
    form: "redis://HOST:PORT",
    verified: "rediss://",
    encrypted: &["rediss", "valkeys"],
    lone_name_is_secret: false,
    is_local,
    keys: &[
        "user",
        "password",
        "password_file",
        "sentinel_user",
        "sentinel_password",
        "sentinel_password_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "insecure_tls",
    ],
};

/// What `max_entries` may be.
const MAX_ENTRIES: RangeInclusive<u64> = 1_000..=1 << 40;

pub(super) fn parse(log: &Table<'_>, table: &Table<'_>) -> Option<RedisConfig> {
    let max_entries = table.count::<u64>("max_entries");
    if max_entries.is_some_and(|most| !MAX_ENTRIES.contains(&most)) {
        let (least, most) = MAX_ENTRIES.into_inner();
        table.refuse("max_entries", format!("must be {least} to {most}"));
    }
    let allow_eviction = table.flag("allow_eviction").unwrap_or(false);
    Some(RedisConfig {
        servers: servers(log, table)?,
        key: table.text("key").map(Into::into),
        max_entries,
        allow_eviction,
    })
}

/// Whether the log's key can be named after the cluster.
pub(super) fn check_cluster(top: &Table<'_>, cluster: Option<&ClusterName>, log: &RedisConfig) {
    if log.key.is_none() && cluster.is_some_and(|name| name.as_str().contains(['{', '}'])) {
        top.refuse(
            "cluster",
            "holds a brace, which marks the hash tag of a key: choose another name, or set log.redis.key",
        );
    }
}

pub(super) fn parse_transport(
    table: &Table<'_>,
    log: Option<&LogChoice>,
) -> Option<RedisTransportConfig> {
    if let Err(why) = Backend::Redis.check("transport") {
        table.refuse_all(why);
        return None;
    }
    let frames = frames::parse(table);
    let of_log = log.map(|log| match log {
        LogChoice::Redis(log) => Some(&log.servers),
        _ => None,
    });
    let servers = broker::own_or_of_log(&WORDS, table, || servers(table, table), of_log);
    Some(RedisTransportConfig {
        servers: servers?,
        frames,
    })
}

/// The URL stands in `at`, and the rest in `table`.
fn servers(at: &Table<'_>, table: &Table<'_>) -> Option<RedisServers> {
    let sentinel_password = SENTINEL_PASSWORD.read(table);
    let sentinel_user = table.text("sentinel_user").map(Into::into);
    let servers = RedisServers {
        broker: broker::parse(&WORDS, at, table)?,
        sentinel_user,
        sentinel_password,
    };
    match check(&servers) {
        Ok(()) => Some(servers),
        Err(why) => {
            at.refuse("url", why);
            None
        }
    }
}

#[cfg(feature = "redis")]
fn is_local(url: &str) -> Result<bool, String> {
    use invalidation_transport_redis::Protection;

    match Protection::of(url) {
        Ok(protection) => Ok(protection == Protection::Local),
        Err(error) => Err(error.message.into()),
    }
}

/// Whether the backend can make something of it.
#[cfg(feature = "redis")]
fn check(servers: &RedisServers) -> Result<(), String> {
    let checked = super::start::redis::transport("check", servers).and_then(|it| it.build());
    checked.map(drop).map_err(|error| error.message.into())
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "redis"))]
fn is_local(_: &str) -> Result<bool, String> {
    Ok(true)
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "redis"))]
fn check(_: &RedisServers) -> Result<(), String> {
    Ok(())
}
