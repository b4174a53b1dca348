//! The log and the transport in etcd.

use invalidation_core::{Error, NodeBuilder};
use invalidation_transport_etcd::{EtcdLog, EtcdTransport, EtcdTransportBuilder, Protection};

use super::{broker, text, within_bounds};
use crate::config::{Config, EtcdConfig, EtcdServers, EtcdTransportConfig};

/// The builder, told where the members are.
macro_rules! reach_etcd {
    ($builder:expr, $servers:expr) => {{
        // Every field, so that none is forgotten.
        let EtcdServers {
            broker,
            server_name,
        } = $servers;
        let mut builder = reach!($builder, broker);
        if let Some(name) = server_name {
            builder = builder.server_name(name);
        }
        builder
    }};
}

impl Config {
    pub(super) async fn with_etcd(
        &self,
        builder: NodeBuilder,
        etcd: &EtcdConfig,
    ) -> Result<NodeBuilder, Error> {
        let EtcdConfig {
            servers,
            rings,
            ring_entries,
        } = etcd;
        broker::warn("log", &servers.broker, Protection::VERIFIED);
        let log = reach_etcd!(EtcdLog::builder(text(&servers.broker.url)?), servers);
        let mut log = log
            .cluster(self.cluster.as_str())
            // Less than the node waits, so that what is wrong is told as such, and not as silence.
            .read_timeout(within_bounds(self.settings.read_timeout / 8 * 7))
            .write_timeout(within_bounds(self.settings.append_timeout / 5 * 4));
        if let Some(rings) = rings {
            log = log.rings(*rings);
        }
        if let Some(entries) = ring_entries {
            log = log.ring_entries(*entries);
        }
        Ok(builder.log(if self.settings.start_in_bypass {
            log.connect_later()?
        } else {
            log.connect().await?
        }))
    }

    pub(super) fn with_etcd_transport(
        &self,
        builder: NodeBuilder,
        etcd: &EtcdTransportConfig,
    ) -> Result<NodeBuilder, Error> {
        let EtcdTransportConfig { servers, frames } = etcd;
        broker::warn("transport", &servers.broker, Protection::VERIFIED);
        let transport = carry!(transport(self.cluster.as_str(), servers)?, frames);
        Ok(builder.transport(transport.build()?))
    }
}

/// A transport's builder, told where the members are.
pub(in crate::config) fn transport(
    cluster: &str,
    servers: &EtcdServers,
) -> Result<EtcdTransportBuilder, Error> {
    Ok(reach_etcd!(EtcdTransport::builder(cluster), servers))
}
