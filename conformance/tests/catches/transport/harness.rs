//! Clusters of transports with one mistake, or none.

use std::{
    sync::{Arc, atomic::Ordering},
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
    mistake::Mistake,
    net::{Line, Net},
    outsider::{Outsider, Silence},
    wrong::Wrong,
};

/// How many frames wait for a subscriber.
pub(super) const BUFFER: usize = 256;
/// The largest frame that is declared.
pub(super) const MAX_FRAME: usize = 64 << 10;
/// How long a refusal takes that is slow.
const SLOWLY: Duration = Duration::from_secs(3);
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
        let (hub, net) = (hub(self.mistake), Arc::<Net>::default());
        let make = |_| make(&hub, &net, self.mistake);
        let (members, links) = (0..nodes).map(make).unzip();
        Ok(Box::new(Cluster {
            hub,
            net,
            mistake: self.mistake,
            members,
            links,
        }))
    }
}

fn hub(mistake: Option<Mistake>) -> MemoryHub {
    let hub = MemoryHub::new()
        .with_max_frame(MAX_FRAME)
        .with_buffer(BUFFER);
    match mistake {
        Some(Mistake::Echoes) => hub.with_echoes(),
        Some(Mistake::TakesAnySize) => hub.with_max_frame(2 * MAX_FRAME),
        Some(Mistake::BuffersWithoutBound | Mistake::QueuesInFront) => hub.with_buffer(usize::MAX),
        _ => hub,
    }
}

/// What a test may break in one link.
struct Link {
    faults: TransportFaults,
    line: Arc<Line>,
}

impl Link {
    /// Nothing passes. What is silent is to be known as such before.
    fn swallow(&self) {
        self.faults.swallow(true);
    }

    /// All passes again, before the silence is known to be over.
    fn heal(&self) {
        self.faults.heal();
        self.line.silence.end();
        *self.line.delay.lock() = Duration::ZERO;
    }
}

fn make(hub: &MemoryHub, net: &Arc<Net>, mistake: Option<Mistake>) -> (Member, Link) {
    let inner = MemoryTransport::new(hub);
    let id = NodeId::random();
    let link = Link {
        faults: inner.faults(),
        line: net.add(id),
    };
    let (net, line) = (Arc::clone(net), Arc::clone(&link.line));
    let transport = Wrong::new(inner, mistake, secret(mistake), net, line);
    transport.bind(id);
    let transport = Arc::new(transport);
    (Member { id, transport }, link)
}

/// Nodes around a server, which is the hub.
struct Cluster {
    hub: MemoryHub,
    net: Arc<Net>,
    mistake: Option<Mistake>,
    members: Vec<Member>,
    links: Vec<Link>,
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
        let (member, link) = make(&self.hub, &self.net, self.mistake);
        if self.mistake == Some(Mistake::SendsToWhoWasThere) {
            link.faults.lose_received(20);
        }
        Ok(member)
    }

    async fn stranger(
        &self,
        stranger: Stranger,
        publish_timeout: Duration,
    ) -> Result<Member, Unable> {
        let kind = match stranger {
            _ if self.mistake == Some(Mistake::BreaksNothing) => {
                return Err(Unable::because("it was not built to"));
            }
            Stranger::OtherCluster => {
                let crosses = self.mistake == Some(Mistake::CrossesClusters);
                let other = if crosses {
                    self.hub.clone()
                } else {
                    hub(self.mistake)
                };
                return Ok(make(&other, &Arc::default(), self.mistake).0);
            }
            Stranger::WrongTls if self.mistake == Some(Mistake::TrustsAnyCertificate) => {
                return Ok(make(&self.hub, &self.net, self.mistake).0);
            }
            Stranger::WrongTls => ErrorKind::Denied,
            Stranger::WrongSecret => ErrorKind::Denied,
            Stranger::WrongHost => ErrorKind::Unavailable,
            _ => return Err(Unable::because("there is no such stranger in memory")),
        };
        let outsider = match self.mistake {
            Some(Mistake::NamesNoKind) => Outsider::new(ErrorKind::Other),
            Some(Mistake::BelievesStrangers) => {
                let faults = self.links.iter().map(|link| link.faults.clone());
                Outsider::new(kind).believed_by(faults)
            }
            Some(Mistake::RetriesTheRefused) => Outsider::new(kind).retrying(),
            Some(Mistake::RefusesSlowly) => Outsider::new(kind).after(SLOWLY),
            Some(Mistake::WaitsOutItsTimeout) => Outsider::new(kind).after(publish_timeout),
            Some(Mistake::SubscribesTheRefused) => Outsider::new(kind).subscribed(Silence::Lasts),
            Some(Mistake::EndsTheRefused) => Outsider::new(kind).subscribed(Silence::Ends),
            _ => Outsider::new(kind),
        };
        Ok(Member {
            id: NodeId::random(),
            transport: Arc::new(outsider),
        })
    }

    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        let link = &self.links[of];
        match disruption {
            _ if self.mistake == Some(Mistake::BreaksNothing) => {
                return Err(Unable::because("it was not built to"));
            }
            Disruption::Heal if self.mistake == Some(Mistake::CannotMend) => {
                return Err(Unable::because("it was not built to mend"));
            }
            Disruption::Cut => link.faults.cut(),
            Disruption::BlackHole => {
                link.line.silence.begin();
                link.swallow();
            }
            Disruption::Delay(late) => *link.line.delay.lock() = late,
            Disruption::Heal => link.heal(),
            Disruption::Pause => {
                self.net.pauses.begin();
                self.links.iter().for_each(Link::swallow);
            }
            Disruption::Resume => {
                self.links.iter().for_each(Link::heal);
                self.net.pauses.end();
            }
            Disruption::Stop => {
                self.net.stops.fetch_add(1, Ordering::SeqCst);
                self.links.iter().for_each(|link| link.faults.cut());
            }
            Disruption::Kill => {
                self.net.kills.fetch_add(1, Ordering::SeqCst);
                self.links.iter().for_each(|link| link.faults.cut());
            }
            Disruption::Restart => self.links.iter().for_each(Link::heal),
            _ => return Err(Unable::because("the server in memory stores nothing")),
        }
        Ok(())
    }

    async fn connections(&self, of: usize) -> Result<usize, Unable> {
        Ok(self.links[of].line.connections.load(Ordering::SeqCst))
    }

    fn publish_timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn buffered(&self) -> usize {
        BUFFER
    }

    fn in_transit(&self) -> Option<usize> {
        (self.mistake != Some(Mistake::QueuesInFront)).then_some(0)
    }

    fn secrets(&self) -> Vec<String> {
        vec![secret(self.mistake).to_owned()]
    }
}
