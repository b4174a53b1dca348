//! The harness of the NATS transport: a server for each cluster, used again by later ones, and a proxy on the way from each
//! node to it.

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
use invalidation_testbed::{Backend, Error, Offer, Proxy, Required, Server};
use invalidation_transport_nats::{NatsTransport, NatsTransportBuilder};
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
/// The driver tells each message at the level `trace`, escaped byte by byte, and the suite listens: a megabyte takes it a
/// second. That the default, 1 MiB, arrives is tried beside.
const MAX_FRAME: usize = 100_000;
/// Of a batch that is under way when nobody reads any more.
const IN_TRANSIT: usize = 200;

/// Makes clusters, each with a server to itself.
#[derive(Default)]
pub(crate) struct NatsTransports {
    /// Servers that run, and that nobody uses now.
    free: Arc<Mutex<Vec<Arc<Server>>>>,
}

#[async_trait]
impl TransportHarness for NatsTransports {
    fn name(&self) -> &'static str {
        "nats"
    }

    async fn cluster(&self, nodes: usize) -> Result<Box<dyn TransportCluster>, Unable> {
        let free = self.free.lock().pop();
        let server = match free {
            Some(server) => server,
            None => Arc::new(start().await?),
        };
        let mut cluster = Cluster {
            name: NodeId::random().to_string(),
            members: Vec::new(),
            links: Vec::new(),
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

/// A fresh server that asks for a password.
async fn start() -> Result<Server, Unable> {
    let required = Required::from_env().expect("REQUIRE_BACKENDS");
    let start = || Server::start_with(Backend::Nats, &["--user", USER, "--pass", PASSWORD]);
    match required.decide(blocking(start).await).expect("a server") {
        Offer::Here(server) => Ok(server),
        Offer::Ignored(absent) => Err(Unable::because(absent.to_string())),
    }
}

fn url(address: SocketAddr, password: &str) -> String {
    format!("nats://{USER}:{password}@{address}")
}

fn builder(cluster: &str, url: &str) -> NatsTransportBuilder {
    NatsTransport::builder(cluster)
        .url(url)
        .max_frame(MAX_FRAME)
        .publish_timeout(PUBLISH_TIMEOUT)
        .notices_loss_within(NOTICES_LOSS_WITHIN)
        .reconnect_wait(Duration::from_millis(10), LONGEST_WAIT)
}

fn bound(builder: NatsTransportBuilder) -> Member {
    let id = NodeId::random();
    let transport = builder.build().expect("good settings");
    transport.bind(id);
    let transport = Arc::new(transport);
    Member { id, transport }
}

struct Cluster {
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
        let url = url(self.links[of].address(), PASSWORD);
        bound(builder(&self.name, &url))
    }

    async fn link(&self, of: usize, change: impl FnOnce(&Proxy) + Send + 'static) {
        let link = Arc::clone(&self.links[of]);
        blocking(move || change(&link)).await;
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
        let address = self.server.address();
        let right = url(address, PASSWORD);
        let stranger = match stranger {
            Stranger::OtherCluster => builder("others", &right),
            Stranger::WrongSecret => builder(&self.name, &url(address, ANOTHER)),
            Stranger::WrongHost => {
                let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
                let nobody = free.local_addr().expect("an address");
                builder(&self.name, &url(nobody, PASSWORD))
            }
            // The server has no certificate.
            Stranger::WrongTls => builder(&self.name, &right.replace("nats://", "tls://")),
            _ => return Err(Unable::because("the harness knows no such stranger")),
        };
        Ok(bound(stranger.publish_timeout(publish_timeout)))
    }

    async fn disrupt(&self, of: usize, disruption: Disruption) -> Result<(), Unable> {
        match disruption {
            Disruption::Cut => self.link(of, Proxy::cut).await,
            Disruption::BlackHole => self.link(of, Proxy::black_hole).await,
            Disruption::Delay(late) => self.link(of, move |link| link.delay(late)).await,
            Disruption::Heal => self.link(of, Proxy::heal).await,
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
        Ok(self.links[of].connections())
    }

    fn publish_timeout(&self) -> Duration {
        PUBLISH_TIMEOUT
    }

    fn longest_back_off(&self) -> Duration {
        LONGEST_WAIT
    }

    fn in_transit(&self) -> Option<usize> {
        Some(IN_TRANSIT)
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned(), ANOTHER.to_owned()]
    }
}
