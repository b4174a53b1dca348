//! The log and the transport of PostgreSQL.

use std::time::Duration;

use invalidation_core::{Error, NodeBuilder, Sender};
use invalidation_transport_pg::{PgLog, PgTransport, Pooling};

use super::{text, warn_of_weak_tls, within_bounds};
use crate::config::{Config, PoolingChoice, PostgresConfig, PostgresTransportConfig};

/// How long a node that was killed counts as a peer, unless polls are rare.
const MEMBERS_EXPIRE_AFTER: Duration = Duration::from_secs(15);

impl Config {
    pub(super) async fn with_postgres(
        &self,
        builder: NodeBuilder,
        postgres: &PostgresConfig,
    ) -> Result<NodeBuilder, Error> {
        warn_of_weak_tls("log", postgres.insecure_tls, "sslmode=verify-full");
        let mut log = PgLog::builder(text(&postgres.url)?)
            .pooling(match postgres.pooling {
                PoolingChoice::Detect => Pooling::Detect,
                PoolingChoice::Direct => Pooling::Direct,
                PoolingChoice::Transaction => Pooling::Transaction,
            })
            .read_timeout(within_bounds(self.settings.read_timeout))
            // Less than the node waits, so that a lock is told as such, and not as silence.
            .write_timeout(within_bounds(self.settings.append_timeout / 5 * 4))
            // Each heartbeat goes with a poll.
            .members_expire_after(within_bounds(
                MEMBERS_EXPIRE_AFTER.max(self.settings.poll_interval * 4),
            ));
        if let Some(schema) = &postgres.schema {
            log = log.schema(schema);
        }
        if let Some(password) = &postgres.password {
            log = log.password(text(password)?);
        }
        Ok(builder.log(if self.settings.start_in_bypass {
            log.connect_later()?
        } else {
            log.connect().await?
        }))
    }

    pub(super) fn with_postgres_transport(
        &self,
        builder: NodeBuilder,
        postgres: &PostgresTransportConfig,
    ) -> Result<NodeBuilder, Error> {
        // Every field, so that none is forgotten.
        let PostgresTransportConfig {
            url,
            password,
            insecure_tls,
            authenticated,
            publish_timeout,
            notices_loss_within,
            buffered_frames,
        } = postgres;
        warn_of_weak_tls("transport", *insecure_tls, "sslmode=verify-full");
        let mut transport = PgTransport::builder(self.cluster.as_str()).url(text(url)?);
        if let Some(password) = password {
            transport = transport.password(text(password)?);
        }
        if *authenticated {
            transport = transport.sender(Sender::Authenticated);
        }
        if let Some(timeout) = publish_timeout {
            transport = transport.publish_timeout(*timeout);
        }
        if let Some(time) = notices_loss_within {
            transport = transport.notices_loss_within(*time);
        }
        if let Some(frames) = buffered_frames {
            transport = transport.buffered(*frames);
        }
        Ok(builder.transport(transport.build()?))
    }
}
