//! The harness of the HTTP transport: nodes on loopback, and a proxy on the way from each to each other.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use invalidation_conformance::{
    Disruption, Member, Stranger, TransportCluster, TransportHarness, Unable,
};
use invalidation_core::{CacheInvalidationTransport as _, NodeId, Outgoing};
use invalidation_testbed::Proxy;
use invalidation_transport_http::{HttpTransport, HttpTransportBuilder};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

const SECRET: &str = "the members' secret, long enough";
const ANOTHER: &str = "a stranger's secret, long enough";
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// Bounds the largest frame to what an unoptimised build signs well within the time-out, on a busy machine too.
const BODY_CAP: usize = 128 << 10;
/// Between two attempts to reach a peer.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// Between two resyncs to a peer.
const RESYNC_INTERVAL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes clusters on free loopback ports.
#[derive(Debug, Default)]
pub(crate) struct HttpTransports;

#[async_trait]
impl TransportHarness for HttpTransports {
    fn name(&self) -> &'static str {
        "http"
    }

    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable> {
        // Each listens before any is told of the others.
        let reserved: Vec<_> = (0..nodes).map(|_| reserve()).collect();
        let addresses: Vec<_> = reserved
            .iter()
            .map(|port| port.local_addr().expect("an address"))
            .collect();
        let mut links = Vec::new();
        for from in 0..nodes {
            for (to, address) in addresses.iter().enumerate() {
                if from != to {
                    let proxy = Arc::new(proxy_to(*address).await);
                    links.push(Link { from, to, proxy });
                }
            }
        }
        let mut cluster = Cluster {
            members: Vec::new(),
            addresses,
            links,
        };
        for (of, port) in reserved.into_iter().enumerate() {
            drop(port);
            let member = cluster.start(of).await;
            cluster.members.push(member);
        }
        introduce(&cluster.members).await;
        Ok(Box::new(cluster))
    }
}

async fn proxy_to(address: SocketAddr) -> Proxy {
    let starting = spawn_blocking(move || Proxy::to(address));
    starting.await.expect("starts").expect("a proxy")
}

/// A port that is free, and taken until this is dropped.
fn reserve() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port")
}

fn builder(cluster: &str, secret: &str) -> HttpTransportBuilder {
    HttpTransport::builder(cluster)
        .secret(secret)
        .publish_timeout(PUBLISH_TIMEOUT)
        .body_cap(BODY_CAP)
        .reconnect_wait(Duration::from_millis(10), LONGEST_WAIT)
        .resync_interval(RESYNC_INTERVAL)
}

/// Waits until what each publishes reaches each other: all have greeted all, and each was told of what it missed until
/// then.
async fn introduce(members: &[Member]) {
    let mut subscriptions = Vec::new();
    for member in members {
        let subscription = member.transport.subscribe().await.expect("subscribes");
        subscriptions.push(tokio::spawn(subscription.for_each(|_| async {})));
    }
    loop {
        let mut missed = false;
        for member in members {
            missed |= greet(member).await;
        }
        if !missed {
            break;
        }
        // A resync that is owed for what was missed goes ahead of the first frame after this.
        sleep(RESYNC_INTERVAL).await;
    }
    for reading in subscriptions {
        reading.abort();
        let _ = reading.await;
    }
}

/// Publishes until all peers have received. Whether any missed one before.
async fn greet(member: &Member) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let mut missed = false;
    loop {
        let hello = Outgoing::to_all(Bytes::from_static(b"introduction"));
        let delivery = member.transport.publish(hello).await.expect("publishes");
        if delivery.peers.iter().all(|peer| peer.result.is_ok()) {
            return missed;
        }
        missed = true;
        assert!(
            Instant::now() < deadline,
            "not all are reached: {delivery:?}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

struct Link {
    from: usize,
    to: usize,
    proxy: Arc<Proxy>,
}

struct Cluster {
    members: Vec<Member>,
    addresses: Vec<SocketAddr>,
    links: Vec<Link>,
}

impl Cluster {
    /// A new process on the address of the node `of`.
    async fn start(&self, of: usize) -> Member {
        let peers = self.links.iter().filter(|link| link.from == of);
        let peers = peers.map(|link| link.proxy.address().to_string());
        let builder = builder("members", SECRET)
            .listen(self.addresses[of])
            .peers(peers);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match builder.clone().build() {
                Ok(transport) => return bound(transport),
                // Of the process before: not closed yet.
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn links_of(&self, of: usize) -> impl Iterator<Item = &Arc<Proxy>> {
        let links = self.links.iter();
        links
            .filter(move |link| link.from == of || link.to == of)
            .map(|link| &link.proxy)
    }

    /// On each link of the node, one after another: a proxy blocks until the change is in force.
    async fn set(&self, of: usize, change: impl Fn(&Proxy) + Send + 'static) {
        let links: Vec<_> = self.links_of(of).cloned().collect();
        let changing = spawn_blocking(move || links.iter().for_each(|link| change(link)));
        changing.await.expect("changes");
    }
}

fn bound(transport: HttpTransport) -> Member {
    let id = NodeId::random();
    transport.bind(id);
    let transport = Arc::new(transport);
    Member { id, transport }
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
        Ok(self.start(self.members.len()).await)
    }

    async fn stranger(
        &self,
        stranger: Stranger,
        publish_timeout: Duration,
    ) -> Result<Member, Unable> {
        let members = self.addresses.iter().map(ToString::to_string);
        let stranger = match stranger {
            // The same secret: only the cluster's name tells.
            Stranger::OtherCluster => builder("others", SECRET).peers(members),
            Stranger::WrongSecret => builder("members", ANOTHER).peers(members),
            Stranger::WrongHost => {
                let nobody = reserve().local_addr().expect("an address");
                builder("members", SECRET).peer(nobody.to_string())
            }
            _ => {
                return Err(Unable::because(
                    "it speaks plain HTTP, and leaves TLS to a mesh or sidecar",
                ));
            }
        };
        let stranger = stranger
            .publish_timeout(publish_timeout)
            .listen(([127, 0, 0, 1], 0).into());
        Ok(bound(stranger.build().expect("good settings")))
    }

    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        match disruption {
            Disruption::Cut => self.set(of, Proxy::cut).await,
            Disruption::BlackHole => self.set(of, Proxy::black_hole).await,
            Disruption::Delay(late) => self.set(of, move |link| link.delay(late)).await,
            Disruption::Heal => self.set(of, Proxy::heal).await,
            _ => return Err(Unable::because("there is no server between the nodes")),
        }
        Ok(())
    }

    async fn connections(&self, of: usize) -> Result<usize, Unable> {
        Ok(self.links_of(of).map(|link| link.connections()).sum())
    }

    fn publish_timeout(&self) -> Duration {
        PUBLISH_TIMEOUT
    }

    /// A frame is received once a subscription has it.
    fn in_transit(&self) -> Option<usize> {
        Some(0)
    }

    fn longest_back_off(&self) -> Duration {
        LONGEST_WAIT
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned(), ANOTHER.to_owned()]
    }
}
