//! etcd: `log.url` with `[log.etcd]`, and `[transport.etcd]`.

use super::{
    backend::Backend,
    broker::{self, BrokerServers, Words},
    frames::{self, FramesConfig},
    log::LogChoice,
    table::Table,
};

/// The log in etcd: `log.url`, and `[log.etcd]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EtcdConfig {
    /// The members.
    pub servers: EtcdServers,
    /// How many rings a log that is made anew has.
    pub rings: Option<u32>,
    /// How many entries each of them keeps.
    pub ring_entries: Option<u32>,
}

/// `[transport.etcd]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EtcdTransportConfig {
    /// The members, which may be those of the log.
    pub servers: EtcdServers,
    /// How frames are sent and taken.
    pub frames: FramesConfig,
}

/// Where the members are, and who the node is to them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EtcdServers {
    /// What all brokers have. The URL is `etcd://HOST:PORT,HOST:PORT`, or `etcds://…` for TLS.
    pub broker: BrokerServers,
    /// The name that the members' certificate has, where that is not the host's.
    pub server_name: Option<String>,
}

const WORDS: Words = Words {
    backend: Backend::Etcd,
    form: "etcd://HOST:PORT,HOST:PORT",
    verified: "etcds://",
    encrypted: &["etcds"],
    lone_name_is_secret: false,
    is_local,
    keys: &[
        "user",
        "password",
        "password_file",
        "ca_file",
        "client_certificate",
        "client_key",
        "server_name",
        "insecure_tls",
    ],
};

/// What a log can have.
const MAX_RINGS: u32 = 24;
const MAX_RING_ENTRIES: u32 = 1_024;

pub(super) fn parse(log: &Table<'_>, table: &Table<'_>) -> Option<EtcdConfig> {
    let up_to = |key, most| {
        let count = table.count::<u32>(key)?;
        if count > most {
            table.refuse(key, format!("must be 1 to {most}"));
        }
        Some(count)
    };
    let rings = up_to("rings", MAX_RINGS);
    let ring_entries = up_to("ring_entries", MAX_RING_ENTRIES);
    Some(EtcdConfig {
        servers: servers(log, table)?,
        rings,
        ring_entries,
    })
}

pub(super) fn parse_transport(
    table: &Table<'_>,
    log: Option<&LogChoice>,
) -> Option<EtcdTransportConfig> {
    if let Err(why) = Backend::Etcd.check("transport") {
        table.refuse_all(why);
        return None;
    }
    let frames = frames::parse(table);
    let of_log = log.map(|log| match log {
        LogChoice::Etcd(log) => Some(&log.servers),
        _ => None,
    });
    let servers = broker::own_or_of_log(&WORDS, table, || servers(table, table), of_log);
    Some(EtcdTransportConfig {
        servers: servers?,
        frames,
    })
}

/// The URL stands in `at`, and the rest in `table`.
fn servers(at: &Table<'_>, table: &Table<'_>) -> Option<EtcdServers> {
    let servers = EtcdServers {
        server_name: table.text("server_name").map(Into::into),
        broker: broker::parse(&WORDS, at, table)?,
    };
    match check(&servers) {
        Ok(()) => Some(servers),
        Err(why) => {
            at.refuse("url", why);
            None
        }
    }
}

#[cfg(feature = "etcd")]
fn is_local(url: &str) -> Result<bool, String> {
    use invalidation_transport_etcd::Protection;

    match Protection::of(url) {
        Ok(protection) => Ok(protection == Protection::Local),
        Err(error) => Err(error.message.into()),
    }
}

/// Whether the backend can make something of it.
#[cfg(feature = "etcd")]
fn check(servers: &EtcdServers) -> Result<(), String> {
    let checked = super::start::etcd::transport("check", servers).and_then(|it| it.build());
    checked.map(drop).map_err(|error| error.message.into())
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "etcd"))]
fn is_local(_: &str) -> Result<bool, String> {
    Ok(true)
}

/// What is not compiled in was refused before.
#[cfg(not(feature = "etcd"))]
fn check(_: &EtcdServers) -> Result<(), String> {
    Ok(())
}
