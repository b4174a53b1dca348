//! The harness of the Redis transport: a server for each cluster, used again by later ones, and to one that stands alone a
//! proxy on the way from each node.

use std::{
    net::SocketAddr,
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
use invalidation_core::{CacheInvalidationTransport as _, NodeId};
use invalidation_testbed::{Error, Offer, Proxy, RedisSetup, Required, Server};
use invalidation_transport_redis::{RedisTransport, RedisTransportBuilder};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

const USER: &str = "member";
const PASSWORD: &str = "the-password-of-the-members";
const ANOTHER: &str = "the-password-of-a-stranger";
/// Long enough for a busy machine, as is the next.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
const NOTICES_LOSS_WITHIN: Duration = Duration::from_secs(6);
/// For how long frames are refused after the server refused a connection.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// Makes clusters, each with a server to itself.
pub(crate) struct RedisTransports {
    server: Kind,
    /// Servers that run, and that nobody uses now.
    free: Arc<Mutex<Vec<Arc<Server>>>>,
}

impl RedisTransports {
    pub(crate) fn new(server: Kind) -> Self {
        let free = Arc::default();
        Self { server, free }
    }
}

/// What a server is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::allow_attributes, reason = "each binary uses one")]
#[allow(dead_code, reason = "each binary uses one")]
pub(crate) enum Kind {
    Alone,
    /// The only node of a Redis cluster, which tells its one address to all.
    Node,
}

#[async_trait]
impl TransportHarness for RedisTransports {
    fn name(&self) -> &'static str {
        match self.server {
            Kind::Alone => "redis",
            Kind::Node => "redis-cluster",
        }
    }

    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable> {
        let free = self.free.lock().pop();
        let server = match free {
            Some(server) => server,
            None => Arc::new(start(self.server).await?),
        };
        let mut cluster = Cluster {
            name: NodeId::random().to_string(),
            members: Vec::new(),
            links: Vec::new(),
            kind: self.server,
            server,
            is_down: AtomicBool::new(false),
            free: Arc::clone(&self.free),
        };
        for of in 0..nodes {
            let address = cluster.server.address();
            let proxy = blocking(move || Proxy::to(address)).await;
            cluster.links.push(Arc::new(proxy.expect("a proxy")));
            cluster.members.push(cluster.start(of));
        }
        Ok(Box::new(cluster))
    }
}

/// A fresh server, on which the members have what the transport's documentation says that they need, and no more.
async fn start(kind: Kind) -> Result<Server, Unable> {
    let required = Required::from_env().expect("REQUIRE_BACKENDS");
    let (setup, rights) = match kind {
        Kind::Alone => (RedisSetup::new(), "+subscribe +publish"),
        Kind::Node => (
            RedisSetup::new().node(),
            "+ssubscribe +spublish +cluster|slots",
        ),
    };
    let member = format!("user {USER} on >{PASSWORD} resetchannels &cache_invalidation:* {rights}");
    let started = blocking(move || setup.directive(&member).start()).await;
    let server = match required.decide(started).expect("a server") {
        Offer::Here(server) => server,
        Offer::Ignored(absent) => return Err(Unable::because(absent.to_string())),
    };
    if kind == Kind::Node {
        let admin = redis::Client::open(server.url()).expect("a URL");
        let connecting = admin.get_multiplexed_async_connection();
        let mut admin = connecting.await.expect("connects");
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
        let () = slots
            .query_async(&mut admin)
            .await
            .expect("takes all slots");
    }
    Ok(server)
}

fn builder(cluster: &str, url: &str) -> RedisTransportBuilder {
    RedisTransport::builder(cluster)
        .url(url)
        .user(USER)
        .password(PASSWORD)
        .publish_timeout(PUBLISH_TIMEOUT)
        .notices_loss_within(NOTICES_LOSS_WITHIN)
        .reconnect_wait(Duration::from_millis(10), LONGEST_WAIT)
}

fn bound(builder: RedisTransportBuilder) -> Member {
    let id = NodeId::random();
    let transport = builder.build().expect("good settings");
    transport.bind(id);
    let transport = Arc::new(transport);
    Member { id, transport }
}

struct Cluster {
    kind: Kind,
    name: String,
    members: Vec<Member>,
    /// From each node to the server.
    links: Vec<Arc<Proxy>>,
    server: Arc<Server>,
    /// Whether a disruption of the server was not mended.
    is_down: AtomicBool,
    free: Arc<Mutex<Vec<Arc<Server>>>>,
}

impl Cluster {
    /// A new process in the place `of`.
    fn start(&self, of: usize) -> Member {
        let to = match self.kind {
            Kind::Alone => self.links[of].address(),
            Kind::Node => self.server.address(),
        };
        bound(builder(&self.name, &self.url(to)))
    }

    fn url(&self, to: SocketAddr) -> String {
        match self.kind {
            Kind::Alone => format!("redis://{to}"),
            Kind::Node => format!("redis-cluster://{to}"),
        }
    }

    async fn link(
        &self,
        of: usize,
        change: impl FnOnce(&Proxy) + Send + 'static,
    ) -> Result<(), Unable> {
        if self.kind == Kind::Node {
            return Err(Unable::because(
                "a cluster's node tells its address to all, so that nobody stands between it and one of them",
            ));
        }
        let link = Arc::clone(&self.links[of]);
        blocking(move || change(&link)).await;
        Ok(())
    }

    async fn down(&self, breaks: fn(&Server) -> Result<(), Error>) {
        self.is_down.store(true, Ordering::SeqCst);
        self.server(breaks).await;
    }

    async fn up(&self, mends: fn(&Server) -> Result<(), Error>) {
        self.server(mends).await;
        self.is_down.store(false, Ordering::SeqCst);
    }

    async fn server(&self, change: fn(&Server) -> Result<(), Error>) {
        let server = Arc::clone(&self.server);
        blocking(move || change(&server))
            .await
            .expect("does as it is told");
    }
}

/// What the testbed does blocks its thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("runs")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.is_down.load(Ordering::SeqCst) {
            self.free.lock().push(Arc::clone(&self.server));
        }
    }
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
        Ok(self.start(self.members.len()))
    }

    async fn stranger(
        &self,
        stranger: Stranger,
        publish_timeout: Duration,
    ) -> Result<Member, Unable> {
        let right = self.url(self.server.address());
        let stranger = match stranger {
            Stranger::OtherCluster => builder("others", &right),
            Stranger::WrongSecret => builder(&self.name, &right).password(ANOTHER),
            Stranger::WrongHost => {
                let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
                let nobody = free.local_addr().expect("an address");
                builder(&self.name, &self.url(nobody))
            }
            // The server has no certificate.
            Stranger::WrongTls => builder(&self.name, &right.replacen("redis", "rediss", 1)),
            _ => return Err(Unable::because("the harness knows no such stranger")),
        };
        Ok(bound(stranger.publish_timeout(publish_timeout)))
    }

    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        match disruption {
            Disruption::Cut => self.link(of, Proxy::cut).await?,
            Disruption::BlackHole => self.link(of, Proxy::black_hole).await?,
            Disruption::Delay(late) => self.link(of, move |link| link.delay(late)).await?,
            Disruption::Heal => self.link(of, Proxy::heal).await?,
            Disruption::Stop => self.down(Server::stop).await,
            Disruption::Kill => self.down(Server::kill).await,
            Disruption::Pause => self.down(Server::pause).await,
            Disruption::Restart => self.up(Server::restart).await,
            Disruption::Resume => self.up(Server::resume).await,
            _ => {
                return Err(Unable::because(
                    "the server keeps nothing of what a transport sends",
                ));
            }
        }
        Ok(())
    }

    async fn connections(&self, of: usize) -> Result<usize, Unable> {
        match self.kind {
            Kind::Alone => Ok(self.links[of].connections()),
            Kind::Node => Err(Unable::because(
                "nobody stands between a node and the server to count its connections",
            )),
        }
    }

    fn publish_timeout(&self) -> Duration {
        PUBLISH_TIMEOUT
    }

    fn longest_back_off(&self) -> Duration {
        LONGEST_WAIT
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned(), ANOTHER.to_owned()]
    }
}
