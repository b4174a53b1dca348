//! Clusters of transports with one mistake, or none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_conformance::{
    Disruption, Member, Stranger, TransportCluster, TransportHarness, Unable,
};
use invalidation_core::{
    CacheInvalidationTransport as _, ErrorKind, MemoryHub, MemoryTransport, NodeId, TransportFaults,
};

use super::{
    outsider::Outsider,
    wrong::{Mistake, Wrong},
};

/// How many frames wait for a subscriber.
const BUFFER: usize = 256;
/// The largest frame that is declared.
pub(super) const MAX_FRAME: usize = 64 << 10;
/// Another one for the one that logs it, since honest ones run at the same time.
fn secret(mistake: Option<Mistake>) -> &'static str {
    match mistake {
        Some(Mistake::LogsItsSecret) => "what everybody will know",
        _ => "what only members know",
    }
}

/// Makes them on a hub for each cluster.
#[derive(Debug)]
pub(super) struct Harness {
    pub(super) mistake: Option<Mistake>,
}

#[async_trait]
impl TransportHarness for Harness {
    fn name(&self) -> &'static str {
        "wrong"
    }

    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable> {
        let hub = hub(self.mistake);
        let mut cluster = Cluster {
            hub,
            mistake: self.mistake,
            members: Vec::new(),
            links: Vec::new(),
        };
        for _ in 0..nodes {
            let (member, link) = make(&cluster.hub, self.mistake);
            cluster.members.push(member);
            cluster.links.push(link);
        }
        Ok(Box::new(cluster))
    }
}

fn hub(mistake: Option<Mistake>) -> MemoryHub {
    let hub = MemoryHub::new()
        .with_max_frame(MAX_FRAME)
        .with_buffer(BUFFER);
    match mistake {
        Some(Mistake::Echoes) => hub.with_echoes(),
        Some(Mistake::TakesAnySize) => hub.with_max_frame(2 * MAX_FRAME),
        Some(Mistake::BuffersWithoutBound) => hub.with_buffer(usize::MAX),
        _ => hub,
    }
}

/// What a test may break in one link.
struct Link {
    faults: TransportFaults,
    /// Nothing passes, pings neither.
    silent: Arc<AtomicBool>,
}

fn make(hub: &MemoryHub, mistake: Option<Mistake>) -> (Member, Link) {
    let inner = MemoryTransport::new(hub);
    let link = Link {
        faults: inner.faults(),
        silent: Arc::default(),
    };
    let id = NodeId::random();
    let transport = Wrong::new(inner, mistake, secret(mistake), Arc::clone(&link.silent));
    transport.bind(id);
    let transport = Arc::new(transport);
    (Member { id, transport }, link)
}

struct Cluster {
    hub: MemoryHub,
    mistake: Option<Mistake>,
    members: Vec<Member>,
    links: Vec<Link>,
}

#[async_trait]
impl TransportCluster for Cluster {
    fn members(&self) -> &[Member] {
        &self.members
    }

    async fn stranger(&self, stranger: Stranger) -> Result<Member, Unable> {
        let kind = match stranger {
            Stranger::OtherCluster => {
                let crosses = self.mistake == Some(Mistake::CrossesClusters);
                let other = if crosses {
                    self.hub.clone()
                } else {
                    hub(self.mistake)
                };
                return Ok(make(&other, self.mistake).0);
            }
            Stranger::WrongSecret => ErrorKind::Denied,
            Stranger::WrongHost => ErrorKind::Unavailable,
            _ => return Err(Unable::because("there is no TLS in memory")),
        };
        let outsider = match self.mistake {
            Some(Mistake::NamesNoKind) => Outsider::new(ErrorKind::Other),
            Some(Mistake::BelievesStrangers) => {
                let faults = self.links.iter().map(|link| link.faults.clone());
                Outsider::new(kind).believed_by(faults)
            }
            _ => Outsider::new(kind),
        };
        Ok(Member {
            id: NodeId::random(),
            transport: Arc::new(outsider),
        })
    }

    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        let Link { faults, silent } = &self.links[of];
        match disruption {
            Disruption::Cut => faults.cut(),
            Disruption::BlackHole => {
                faults.swallow(true);
                silent.store(true, Ordering::SeqCst);
            }
            Disruption::Heal => {
                silent.store(false, Ordering::SeqCst);
                faults.heal();
            }
            _ => return Err(Unable::because("there is no server in memory")),
        }
        Ok(())
    }

    fn publish_timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn buffered(&self) -> usize {
        BUFFER
    }

    fn secrets(&self) -> Vec<String> {
        vec![secret(self.mistake).to_owned()]
    }
}
