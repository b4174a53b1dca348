//! The transport in memory, where silence is offered as well: it is noticed at once, and ends the subscriptions.

use std::time::Duration;

use async_trait::async_trait;
use invalidation_conformance::{
    Disruption, Member, Stranger, TransportCluster, TransportHarness, Unable,
};

use super::memory_transport::MemoryTransports;

/// Makes clusters in memory.
#[derive(Debug)]
pub(super) struct Noticing;

#[async_trait]
impl TransportHarness for Noticing {
    fn name(&self) -> &'static str {
        "noticing"
    }

    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable> {
        let inner = MemoryTransports::default().cluster(nodes).await?;
        Ok(Box::new(Cluster(inner)))
    }
}

struct Cluster(Box<dyn TransportCluster>);

#[async_trait]
impl TransportCluster for Cluster {
    fn members(&self) -> &[Member] {
        self.0.members()
    }

    fn give_away(&mut self) -> Option<Member> {
        self.0.give_away()
    }

    async fn rejoin(&mut self) -> Result<Member, Unable> {
        self.0.rejoin().await
    }

    async fn stranger(
        &self,
        stranger: Stranger,
        publish_timeout: Duration,
    ) -> Result<Member, Unable> {
        self.0.stranger(stranger, publish_timeout).await
    }

    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        let noticed = match disruption {
            Disruption::BlackHole => Disruption::Cut,
            Disruption::Pause => Disruption::Kill,
            Disruption::Resume => Disruption::Restart,
            other => other,
        };
        self.0.disrupt(of, noticed).await
    }

    fn publish_timeout(&self) -> Duration {
        self.0.publish_timeout()
    }
}
