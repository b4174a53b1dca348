//! From checked data to a node.

#[macro_use]
#[cfg(any(feature = "redis", feature = "nats", feature = "etcd"))]
mod broker;
mod absent;
#[cfg(feature = "etcd")]
pub(super) mod etcd;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "nats")]
pub(super) mod nats;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
pub(super) mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use invalidation_core::{Error, ErrorKind, MemoryLog, Node, NodeBuilder};

use super::{Config, LogChoice, Secret};

impl Config {
    /// A builder with all that is configured; what is added to it before
    /// [`start`](NodeBuilder::start) comes on top. Opens the log's file and binds the listener.
    ///
    /// # Errors
    /// Those of the backends: a file that cannot be opened, an address in use. With
    /// `log.start_in_bypass` a log that cannot be opened now is opened later.
    pub async fn node(&self) -> Result<NodeBuilder, Error> {
        let mut settings = self.settings.clone();
        if let Some(timeout) = self.publish_timeouts().into_iter().flatten().max() {
            // The node must not give up on a frame while the transport still waits for a peer.
            settings.publish_timeout = settings.publish_timeout.max(timeout);
        }
        let mut builder = Node::builder(self.cluster.as_str())
            .settings(settings)
            .clock(self.clock.clone())
            .cache_defaults(self.cache_defaults.clone());
        for (cache, settings) in &self.caches {
            builder = builder.cache_settings(cache.as_str(), settings.clone());
        }
        builder = match &self.log {
            LogChoice::None => builder,
            LogChoice::Memory => builder.log(MemoryLog::new()),
            LogChoice::Sqlite(sqlite) => self.with_sqlite(builder, sqlite).await?,
            LogChoice::Postgres(postgres) => self.with_postgres(builder, postgres).await?,
            LogChoice::MySql(mysql) => self.with_mysql(builder, mysql).await?,
            LogChoice::Redis(redis) => self.with_redis(builder, redis).await?,
            LogChoice::Nats(nats) => self.with_nats(builder, nats).await?,
            LogChoice::Etcd(etcd) => self.with_etcd(builder, etcd).await?,
        };
        if let Some(http) = &self.http {
            builder = self.with_http(builder, http)?;
        }
        if let Some(postgres) = &self.postgres {
            builder = self.with_postgres_transport(builder, postgres)?;
        }
        if let Some(redis) = &self.redis {
            builder = self.with_redis_transport(builder, redis)?;
        }
        if let Some(nats) = &self.nats {
            builder = self.with_nats_transport(builder, nats)?;
        }
        if let Some(etcd) = &self.etcd {
            builder = self.with_etcd_transport(builder, etcd)?;
        }
        Ok(builder)
    }

    /// [`node`](Self::node), started.
    ///
    /// # Errors
    /// Those of [`node`](Self::node) and of [`NodeBuilder::start`].
    pub async fn start(&self) -> Result<Node, Error> {
        self.node().await?.start().await
    }

    /// How long each transport may take for a frame, where that is configured.
    fn publish_timeouts(&self) -> [Option<Duration>; 5] {
        let of_broker = [
            self.redis.as_ref().map(|redis| &redis.frames),
            self.nats.as_ref().map(|nats| &nats.frames),
            self.etcd.as_ref().map(|etcd| &etcd.frames),
        ];
        let [redis, nats, etcd] = of_broker.map(|frames| frames?.publish_timeout);
        let http = self.http.as_ref().and_then(|http| http.publish_timeout);
        let postgres = self.postgres.as_ref().and_then(|pg| pg.publish_timeout);
        [http, postgres, redis, nats, etcd]
    }
}

/// Within what the logs on a server take: a millisecond to an hour.
#[cfg_attr(
    not(any(
        feature = "postgres",
        feature = "mysql",
        feature = "redis",
        feature = "nats",
        feature = "etcd"
    )),
    expect(dead_code, reason = "no such log is compiled in")
)]
fn within_bounds(timeout: Duration) -> Duration {
    timeout.clamp(Duration::from_millis(1), Duration::from_secs(3_600))
}

/// A URL or a credential.
#[cfg_attr(
    not(any(
        feature = "postgres",
        feature = "mysql",
        feature = "redis",
        feature = "nats",
        feature = "etcd"
    )),
    expect(dead_code, reason = "nothing that needs it is compiled in")
)]
fn text(secret: &Secret) -> Result<&str, Error> {
    let refuse = |_| {
        let why = "a URL or a credential of a backend is not UTF-8: write it so";
        Error::new(ErrorKind::Invalid, "config", "start", why)
    };
    std::str::from_utf8(secret.expose()).map_err(refuse)
}

/// Says once that a link is not verified, by which mode, and what would.
#[cfg(any(
    feature = "postgres",
    feature = "mysql",
    feature = "redis",
    feature = "nats",
    feature = "etcd"
))]
fn warn_of_weak_tls(of: &'static str, mode: Option<&'static str>, verified: &'static str) {
    if let Some(mode) = mode {
        tracing::warn!(
            of,
            mode,
            "insecure_tls: nobody checks that the server is the one that is meant, so that whoever is in between can read and \
             write what it is asked: use {verified}"
        );
    }
}
