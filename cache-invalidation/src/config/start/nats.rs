//! The log in JetStream, and the transport on core NATS.

use invalidation_core::{Error, NodeBuilder};
use invalidation_transport_nats::{
    NatsLog, NatsTransport, NatsTransportBuilder, Protection, Storage, WhenFull,
};

use super::{broker, text, within_bounds};
use crate::config::{Config, NatsConfig, NatsServers, NatsTransportConfig};

/// The builder, told where the servers are.
macro_rules! reach_nats {
    ($builder:expr, $servers:expr) => {{
        // Every field, so that none is forgotten.
        let NatsServers {
            broker,
            token,
            nkey_seed,
            credentials_file,
        } = $servers;
        let mut builder = reach!($builder, broker);
        if let Some(token) = token {
            builder = builder.token(text(token)?);
        }
        if let Some(seed) = nkey_seed {
            builder = builder.nkey_seed(text(seed)?);
        }
        if let Some(file) = credentials_file {
            builder = builder.credentials_file(file);
        }
        builder
    }};
}

impl Config {
    pub(super) async fn with_nats(
        &self,
        builder: NodeBuilder,
        nats: &NatsConfig,
    ) -> Result<NodeBuilder, Error> {
        let NatsConfig {
            servers,
            stream,
            subject,
            replicas,
            in_memory,
            max_age,
            max_messages,
            max_bytes,
            refuses_when_full,
            domain,
            syncs_always,
        } = nats.clone();
        broker::warn("log", &servers.broker, Protection::VERIFIED);
        let log = reach_nats!(NatsLog::builder(text(&servers.broker.url)?), &servers);
        let mut log = log
            .cluster(self.cluster.as_str())
            .storage(if in_memory {
                Storage::Memory
            } else {
                Storage::File
            })
            .read_timeout(within_bounds(self.settings.read_timeout))
            // Less than the node waits, so that what is wrong is told as such, and not as silence.
            .write_timeout(within_bounds(self.settings.append_timeout / 5 * 4));
        /// Hands on what is configured; the rest keeps the log's default.
        macro_rules! pass {
            ($($key:ident),* $(,)?) => {
                $(if let Some(value) = $key {
                    log = log.$key(value);
                })*
            };
        }
        let when_full = refuses_when_full.map(|refuses| match refuses {
            true => WhenFull::RefuseAppends,
            false => WhenFull::ForgetOldest,
        });
        pass!(
            stream,
            subject,
            replicas,
            max_age,
            max_messages,
            max_bytes,
            when_full,
            domain,
        );
        if syncs_always {
            log = log.syncs_always();
        }
        Ok(builder.log(if self.settings.start_in_bypass {
            log.connect_later()?
        } else {
            log.connect().await?
        }))
    }

    pub(super) fn with_nats_transport(
        &self,
        builder: NodeBuilder,
        nats: &NatsTransportConfig,
    ) -> Result<NodeBuilder, Error> {
        let NatsTransportConfig {
            servers,
            frames,
            max_frame,
        } = nats;
        broker::warn("transport", &servers.broker, Protection::VERIFIED);
        let mut transport = carry!(transport(self.cluster.as_str(), servers)?, frames);
        if let Some(bytes) = max_frame {
            transport = transport.max_frame(*bytes);
        }
        Ok(builder.transport(transport.build()?))
    }
}

/// A transport's builder, told where the servers are.
pub(in crate::config) fn transport(
    cluster: &str,
    servers: &NatsServers,
) -> Result<NatsTransportBuilder, Error> {
    Ok(reach_nats!(NatsTransport::builder(cluster), servers))
}
