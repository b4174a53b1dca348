//! The harness of the memory transport: a hub for each cluster.

use std::time::Duration;

use async_trait::async_trait;
use invalidation_conformance::{
    Disruption, Member, Stranger, TransportCluster, TransportHarness, Unable,
};
use invalidation_core::{
    CacheInvalidationTransport as _, MemoryHub, MemoryTransport, NodeId, TransportFaults,
};

/// Makes clusters in the memory of this process.
#[derive(Debug, Default)]
pub(crate) struct MemoryTransports {
    /// Whether a node receives its own frames.
    pub(crate) echoes: bool,
}

#[async_trait]
impl TransportHarness for MemoryTransports {
    fn name(&self) -> &'static str {
        match self.echoes {
            false => "memory",
            true => "memory_with_echoes",
        }
    }

    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable> {
        let hub = match self.echoes {
            false => MemoryHub::new(),
            true => MemoryHub::new().with_echoes(),
        };
        let (members, faults) = (0..nodes).map(|_| member(&hub)).unzip();
        Ok(Box::new(Cluster {
            hub,
            members,
            faults,
        }))
    }
}

fn member(hub: &MemoryHub) -> (Member, TransportFaults) {
    let transport = MemoryTransport::new(hub);
    let id = NodeId::random();
    transport.bind(id);
    let faults = transport.faults();
    let transport = std::sync::Arc::new(transport);
    (Member { id, transport }, faults)
}

struct Cluster {
    hub: MemoryHub,
    members: Vec<Member>,
    faults: Vec<TransportFaults>,
}

#[async_trait]
impl TransportCluster for Cluster {
    fn members(&self) -> &[Member] {
        &self.members
    }

    fn give_away(&mut self) -> Option<Member> {
        self.members.pop()
    }

    async fn rejoin(&mut self) -> Result<Member, Unable> {
        Ok(member(&self.hub).0)
    }

    async fn stranger(&self, stranger: Stranger, _: Duration) -> Result<Member, Unable> {
        match stranger {
            Stranger::OtherCluster => Ok(member(&MemoryHub::new()).0),
            _ => Err(Unable::because(
                "a transport in memory has no credentials, no host and no TLS",
            )),
        }
    }

    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        match disruption {
            Disruption::Cut => self.faults[of].cut(),
            Disruption::Heal => self.faults[of].heal(),
            // The hub ends, and starts again: all links are cut, and heal.
            Disruption::Stop | Disruption::Kill => {
                self.faults.iter().for_each(TransportFaults::cut);
            }
            Disruption::Restart => self.faults.iter().for_each(TransportFaults::heal),
            _ => {
                return Err(Unable::because(
                    "a call within the process has no link that is silent or slow",
                ));
            }
        }
        Ok(())
    }

    async fn connections(&self, _of: usize) -> Result<usize, Unable> {
        Err(Unable::because("a transport in memory has no connections"))
    }

    fn in_transit(&self) -> Option<usize> {
        Some(0)
    }
}
