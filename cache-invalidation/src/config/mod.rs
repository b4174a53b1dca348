//! A node from a file and the environment.
//!
//! The layers, each over the one before: what the code says by default, a TOML file, and variables whose name is
//! `CACHE_INVALIDATION__` and the key, its parts joined by two underscores: `CACHE_INVALIDATION__LOG__URL` is
//! `log.url`. A variable's name is read in lower case, so caches whose name has capitals, dots or dashes are
//! configured in the file; a list in a variable is separated by commas.
//!
//! A [`Config`] is *checked data*: whatever is wrong (an unknown key, a bad duration, a backend that is not
//! compiled in, a secret in clear) is refused before anything is opened, all of it at once, each with the file
//! and line or the variable that it came from.
//!
//! ```
//! use cache_invalidation::config::Config;
//!
//! let config = Config::parse_str(r#"
//!     cluster = "billing"
//!     [log]
//!     url = "memory:"
//!     [caches.roles]
//!     max_staleness = "0s"
//! "#)?;
//! assert_eq!(config.cluster.as_str(), "billing");
//!
//! let error = Config::parse_str("cluster = 'billing'\nlog.ulr = 'memory:'").unwrap_err();
//! assert!(error.to_string().contains("did you mean `url`?"));
//! # Ok::<(), cache_invalidation::config::ConfigError>(())
//! ```
//!
//! Every key, with its unit and its default, stands in `examples/cache-invalidation.toml` of the repository.

mod backend;
mod broker;
mod caches;
mod credential;
mod error;
mod etcd;
mod frames;
mod http;
mod log;
mod mysql;
mod nats;
mod nearest;
mod node;
mod peer;
mod postgres;
mod postgres_transport;
mod reader;
mod redis;
mod schema;
mod secret;
mod sources;
mod start;
mod table;
mod tls;
mod value;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use figment::Figment;
use invalidation_core::{CacheName, CacheSettings, ClusterName, NodeClock, NodeSettings};

pub use self::{
    broker::{BrokerServers, Unverified},
    error::{ConfigError, Problem},
    etcd::{EtcdConfig, EtcdServers, EtcdTransportConfig},
    frames::FramesConfig,
    http::HttpConfig,
    log::{LogChoice, SqliteConfig},
    mysql::MySqlConfig,
    nats::{NatsConfig, NatsServers, NatsTransportConfig},
    peer::Peer,
    postgres::{PoolingChoice, PostgresConfig},
    postgres_transport::PostgresTransportConfig,
    redis::{RedisConfig, RedisServers, RedisTransportConfig},
    secret::Secret,
};
pub use figment;

use self::{
    reader::Reader,
    sources::{Lines, TomlText, Variables},
    table::Table,
};

/// The file that [`Config::load`] reads.
pub const DEFAULT_FILE: &str = "cache-invalidation.toml";

/// A checked configuration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// How the node polls, publishes and purges: `[node]` and `[log]`.
    pub settings: NodeSettings,
    /// The clock of leases and TTLs: `node.clock`.
    pub clock: NodeClock,
    /// Which log: `log.url`.
    pub log: LogChoice,
    /// `[transport.http]`, if it is there.
    pub http: Option<HttpConfig>,
    /// `[transport.postgres]`, if it is there.
    pub postgres: Option<PostgresTransportConfig>,
    /// `[transport.redis]`, if it is there.
    pub redis: Option<RedisTransportConfig>,
    /// `[transport.nats]`, if it is there.
    pub nats: Option<NatsTransportConfig>,
    /// `[transport.etcd]`, if it is there.
    pub etcd: Option<EtcdTransportConfig>,
    /// `[cache_defaults]`.
    pub cache_defaults: CacheSettings,
    /// `[caches.NAME]`.
    pub caches: BTreeMap<CacheName, CacheSettings>,
}

impl Config {
    /// From [`DEFAULT_FILE`] in the working folder, if it is there, and the environment.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_if_there(Path::new(DEFAULT_FILE), std::env::vars_os())
    }

    fn load_if_there(
        file: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        // A file that is there and cannot be looked at is an error, not an absent one.
        if matches!(file.try_exists(), Ok(false)) {
            let figment = Figment::from(Variables::new(variables)?);
            return Self::read(&figment, &Lines::default());
        }
        Self::from_file_and_variables(file.into(), variables)
    }

    /// From this file and the environment.
    ///
    /// # Errors
    /// Everything that is wrong; also a file that is not there.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        Self::from_file_and_variables(path.into(), std::env::vars_os())
    }

    fn from_file_and_variables(
        path: PathBuf,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let toml = TomlText::file(path)?;
        let figment = Figment::from(&toml).merge(Variables::new(variables)?);
        Self::read(&figment, &toml.lines)
    }

    /// From this TOML text alone; the environment is not read.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse_str(toml: &str) -> Result<Self, ConfigError> {
        let toml = TomlText::text(toml)?;
        Self::read(&Figment::from(&toml), &toml.lines)
    }

    /// From sources of one's own. A secret is taken from figment's `Env` and from code (`Serialized`), not from
    /// files.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn from_figment(figment: &Figment) -> Result<Self, ConfigError> {
        Self::read(figment, &Lines::default())
    }

    fn read(figment: &Figment, lines: &Lines) -> Result<Self, ConfigError> {
        let reader = Reader::new(figment, lines);
        let config = Self::parse(&reader.top(&schema::TOP));
        reader.finish(config)
    }

    fn parse(top: &Table<'_>) -> Option<Self> {
        let cluster = top.parsed("cluster", |name| {
            ClusterName::new(name).map_err(|error| error.to_string())
        });
        if !top.has("cluster") {
            top.missing("cluster", "name the cluster, the same on all its nodes");
        }
        let log = top.table_or_empty("log", Some(&schema::LOG));
        let (settings, clock) = node::parse(top, &log);
        let transport = top.table_or_empty("transport", Some(&schema::TRANSPORT));
        let http_table = transport.table("http", Some(&schema::HTTP));
        let http = http_table.as_ref().map(http::parse);
        let mut keys = schema::TRANSPORT.keys.iter();
        let log = log::parse(&log, keys.any(|key| transport.has(key)));
        if let Some(LogChoice::Redis(redis)) = &log {
            redis::check_cluster(top, cluster.as_ref(), redis);
        }
        let log_of = log.as_ref();
        let postgres = transport
            .table("postgres", Some(&schema::POSTGRES_TRANSPORT))
            .map(|table| postgres_transport::parse(&table, log_of));
        let redis = transport
            .table("redis", Some(&schema::REDIS_TRANSPORT))
            .map(|table| redis::parse_transport(&table, log_of));
        let nats = transport
            .table("nats", Some(&schema::NATS_TRANSPORT))
            .map(|table| nats::parse_transport(&table, log_of));
        let etcd = transport
            .table("etcd", Some(&schema::ETCD_TRANSPORT))
            .map(|table| etcd::parse_transport(&table, log_of));
        if let (Some(table), Some(Some(http))) = (&http_table, &http) {
            http::check_members(table, http, log.as_ref());
        }
        let (cache_defaults, caches) = caches::parse(top, log.as_ref());
        Some(Self {
            cluster: cluster?,
            settings,
            clock,
            log: log?,
            http: checked(http)?,
            postgres: checked(postgres)?,
            redis: checked(redis)?,
            nats: checked(nats)?,
            etcd: checked(etcd)?,
            cache_defaults,
            caches,
        })
    }
}

/// A table that is absent, or one that is all right.
#[expect(clippy::option_option, reason = "absent, or wrong")]
fn checked<T>(table: Option<Option<T>>) -> Option<Option<T>> {
    match table {
        None => Some(None),
        Some(table) => table.map(Some),
    }
}

#[cfg(test)]
mod tests;
