//! NATS: `log.url` with `[log.nats]`, and `[transport.nats]`.

use std::{path::PathBuf, time::Duration};

use super::{
    backend::Backend,
    broker::{self, BrokerServers, Words},
    credential::{NKEY_SEED, TOKEN},
    frames::{self, FramesConfig},
    log::LogChoice,
    secret::Secret,
    table::Table,
};

/// The log in JetStream: `log.url`, and `[log.nats]`. `None` leaves a key to the log's default, or to the stream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsConfig {
    /// The servers.
    pub servers: NatsServers,
    /// The stream that holds the log. Default: one that is named after the cluster.
    pub stream: Option<String>,
    /// The subject that the stream takes. Default: one that is named after the cluster.
    pub subject: Option<String>,
    /// How many servers have a copy.
    pub replicas: Option<usize>,
    /// Whether the stream is stored in memory. Default `false`: in files.
    pub in_memory: bool,
    /// After how long the server forgets an entry by itself.
    pub max_age: Option<Duration>,
    /// How many entries the server keeps.
    pub max_messages: Option<u64>,
    /// How many bytes the server keeps.
    pub max_bytes: Option<u64>,
    /// Whether appends fail at these limits, in place of forgetting the oldest entries.
    pub refuses_when_full: Option<bool>,
    /// The JetStream domain of the stream, where that is not the server's own.
    pub domain: Option<String>,
    /// Whether the servers sync each entry before they acknowledge it, which no server tells. Default `false`.
    pub syncs_always: bool,
}

/// `[transport.nats]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsTransportConfig {
    /// The servers, which may be those of the log.
    pub servers: NatsServers,
    /// How frames are sent and taken.
    pub frames: FramesConfig,
    /// The largest frame, in bytes: not above the servers' `max_payload`.
    pub max_frame: Option<usize>,
}

/// Where the servers are, and who the node is to them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsServers {
    /// What all brokers have. The URL is `nats://HOST:PORT,HOST:PORT`, or `tls://…`.
    pub broker: BrokerServers,
    /// The token, if it does not stand in the URL.
    pub token: Option<Secret>,
    /// The seed of the user's nkey.
    pub nkey_seed: Option<Secret>,
    /// A file with the user's JWT and nkey seed, read at each connect.
    pub credentials_file: Option<PathBuf>,
}

const WORDS: Words = Words {
    backend: Backend::Nats,
    form: "nats://HOST:PORT,HOST:PORT",
    verified: "tls://",
    encrypted: &["tls"],
    // It is a token.
    lone_name_is_secret: true,
    is_local,
    keys: &[
        "user",
        "password",
        "password_file",
        "token",
        "token_file",
        "nkey_seed",
        "nkey_seed_file",
        "credentials_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "insecure_tls",
    ],
};

/// What JetStream takes.
const LEAST_AGE: Duration = Duration::from_millis(100);
const MAX_REPLICAS: u8 = 5;
/// The largest `max_payload` of a server.
const MAX_FRAME: u32 = 64 << 20;

pub(super) fn parse(log: &Table<'_>, table: &Table<'_>) -> Option<NatsConfig> {
    let text = |key| table.text(key).map(Into::into);
    let stored = table.one_of("storage", &[("file", false), ("memory", true)]);
    let refuses_when_full = table.one_of(
        "when_full",
        &[("forget_oldest", false), ("refuse_appends", true)],
    );
    let replicas = table.count::<u8>("replicas");
    if replicas.is_some_and(|replicas| replicas > MAX_REPLICAS) {
        table.refuse("replicas", format!("must be 1 to {MAX_REPLICAS}"));
    }
    let syncs_always = table.flag("syncs_always").unwrap_or(false);
    let max_age = table.positive_duration("max_age");
    if max_age.is_some_and(|age| age < LEAST_AGE) {
        table.refuse("max_age", "must be 100ms at least");
    }
    let (max_messages, max_bytes) = (table.count("max_messages"), table.count("max_bytes"));
    Some(NatsConfig {
        stream: text("stream"),
        subject: text("subject"),
        servers: servers(log, table)?,
        replicas: replicas.map(usize::from),
        in_memory: stored.unwrap_or(false),
        max_age,
        max_messages,
        max_bytes,
        refuses_when_full,
        domain: text("domain"),
        syncs_always,
    })
}

pub(super) fn parse_transport(
    table: &Table<'_>,
    log: Option<&LogChoice>,
) -> Option<NatsTransportConfig> {
    if let Err(why) = Backend::Nats.check("transport") {
        table.refuse_all(why);
        return None;
    }
    let frames = frames::parse(table);
    let max_frame = table.count::<u32>("max_frame");
    if max_frame.is_some_and(|bytes| bytes > MAX_FRAME) {
        table.refuse("max_frame", format!("must be 1 to {MAX_FRAME} bytes"));
    }
    let of_log = log.map(|log| match log {
        LogChoice::Nats(log) => Some(&log.servers),
        _ => None,
    });
    let servers = broker::own_or_of_log(&WORDS, table, || servers(table, table), of_log);
    Some(NatsTransportConfig {
        servers: servers?,
        frames,
        max_frame: max_frame.map(|bytes| bytes as usize),
    })
}

/// The URL stands in `at`, and the rest in `table`.
fn servers(at: &Table<'_>, table: &Table<'_>) -> Option<NatsServers> {
    let (token, nkey_seed) = (TOKEN.read(table), NKEY_SEED.read(table));
    let servers = NatsServers {
        credentials_file: broker::file(table, "credentials_file"),
        broker: broker::parse(&WORDS, at, table)?,
        token,
        nkey_seed,
    };
    match check(&servers) {
        Ok(()) => Some(servers),
        Err(why) => {
            at.refuse("url", why);
            None
        }
    }
}

#[cfg(feature = "nats")]
fn is_local(url: &str) -> Result<bool, String> {
    use invalidation_transport_nats::Protection;

    match Protection::of(url) {
        Ok(protection) => Ok(protection == Protection::Local),
        Err(error) => Err(error.message.into()),
    }
}

/// Whether the backend can make something of it.
#[cfg(feature = "nats")]
fn check(servers: &NatsServers) -> Result<(), String> {
    let checked = super::start::nats::transport("check", servers).and_then(|it| it.build());
    checked.map(drop).map_err(|error| error.message.into())
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "nats"))]
fn is_local(_: &str) -> Result<bool, String> {
    Ok(true)
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "nats"))]
fn check(_: &NatsServers) -> Result<(), String> {
    Ok(())
}
