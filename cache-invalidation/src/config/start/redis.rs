//! The log and the transport on Redis.

use invalidation_core::{Error, NodeBuilder};
use invalidation_transport_redis::{Protection, RedisLog, RedisTransport, RedisTransportBuilder};

use super::{broker, text, within_bounds};
use crate::config::{Config, RedisConfig, RedisServers, RedisTransportConfig};

/// The builder, told where the servers are.
macro_rules! reach_redis {
    ($builder:expr, $servers:expr) => {{
        // Every field, so that none is forgotten.
        let RedisServers {
            broker,
            sentinel_user,
            sentinel_password,
        } = $servers;
        let mut builder = reach!($builder, broker);
        if let Some(user) = sentinel_user {
            builder = builder.sentinel_user(user);
        }
        if let Some(password) = sentinel_password {
            builder = builder.sentinel_password(text(password)?);
        }
        builder
    }};
}

impl Config {
    pub(super) async fn with_redis(
        &self,
        builder: NodeBuilder,
        redis: &RedisConfig,
    ) -> Result<NodeBuilder, Error> {
        let RedisConfig {
            servers,
            key,
            max_entries,
            allow_eviction,
        } = redis;
        broker::warn("log", &servers.broker, Protection::VERIFIED);
        let log = reach_redis!(RedisLog::builder(text(&servers.broker.url)?), servers);
        let mut log = log
            .cluster(self.cluster.as_str())
            .read_timeout(within_bounds(self.settings.read_timeout))
            // Less than the node waits, so that what is wrong is told as such, and not as silence.
            .write_timeout(within_bounds(self.settings.append_timeout / 5 * 4));
        if let Some(key) = key {
            log = log.key(key);
        }
        if let Some(entries) = max_entries {
            log = log.max_entries(*entries);
        }
        if *allow_eviction {
            log = log.allow_eviction();
        }
        Ok(builder.log(if self.settings.start_in_bypass {
            log.connect_later()?
        } else {
            log.connect().await?
        }))
    }

    pub(super) fn with_redis_transport(
        &self,
        builder: NodeBuilder,
        redis: &RedisTransportConfig,
    ) -> Result<NodeBuilder, Error> {
        let RedisTransportConfig { servers, frames } = redis;
        broker::warn("transport", &servers.broker, Protection::VERIFIED);
        let transport = carry!(transport(self.cluster.as_str(), servers)?, frames);
        Ok(builder.transport(transport.build()?))
    }
}

/// A transport's builder, told where the servers are.
pub(in crate::config) fn transport(
    cluster: &str,
    servers: &RedisServers,
) -> Result<RedisTransportBuilder, Error> {
    Ok(reach_redis!(RedisTransport::builder(cluster), servers))
}
