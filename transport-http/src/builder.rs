//! Settings, and how they are checked.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use invalidation_core::{ClusterName, Error, ErrorKind};
use ipnet::IpNet;

use crate::{
    HttpTransport,
    address::PeerAddress,
    auth::{Credentials, Key, MIN_SECRET},
    discover::{Allowed, Resolve, SystemResolver},
    envelope::REQUEST_HEAD,
    members::Advertised,
    wire::{BATCH_HEAD, ITEM_HEAD},
};

/// Checked settings.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) cluster: ClusterName,
    pub(crate) credentials: Credentials,
    pub(crate) peers: Vec<PeerAddress>,
    pub(crate) advertised: Option<Advertised>,
    pub(crate) allowed: Allowed,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) dns_interval: Duration,
    pub(crate) publish_timeout: Duration,
    pub(crate) body_cap: usize,
    pub(crate) queue_frames: usize,
    pub(crate) subscription_frames: usize,
    pub(crate) header_deadline: Duration,
    pub(crate) body_deadline: Duration,
    pub(crate) max_unverified: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_sessions: usize,
    pub(crate) reconnect_wait: (Duration, Duration),
    pub(crate) resync_interval: Duration,
    pub(crate) sign_of_life: Duration,
    pub(crate) close_grace: Duration,
}

impl Settings {
    /// The most a queue or an inbox holds, in bytes: frames are counted too, but one may be large.
    pub(crate) const fn max_buffered_bytes(&self) -> usize {
        self.body_cap.saturating_mul(8)
    }

    /// Whether the log tells of peers.
    pub(crate) fn wants_members(&self) -> bool {
        self.peers
            .iter()
            .any(|peer| matches!(peer, PeerAddress::Log))
    }

    /// The largest payload of a request.
    pub(crate) const fn max_payload(&self) -> usize {
        self.body_cap - REQUEST_HEAD
    }

    /// The largest frame: one that goes alone, beside a resync.
    pub(crate) const fn max_frame(&self) -> usize {
        self.max_payload() - BATCH_HEAD - 2 * ITEM_HEAD
    }
}

/// The smallest body cap.
const MIN_BODY_CAP: usize = 1 << 10;
/// The largest: lengths travel in 32 bits.
const MAX_BODY_CAP: usize = 1 << 30;

/// Builds an [`HttpTransport`]. No setter fails; [`build`](Self::build) does.
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct HttpTransportBuilder {
    cluster: String,
    listen: Option<SocketAddr>,
    peers: Vec<String>,
    advertised: Option<String>,
    secrets: [Option<Vec<u8>>; 2],
    insecure: bool,
    networks: Option<Vec<IpNet>>,
    ports: Option<Vec<u16>>,
    resolver: Arc<dyn Resolve>,
    dns_interval: Duration,
    publish_timeout: Duration,
    body_cap: usize,
    queue_frames: usize,
    subscription_frames: usize,
    header_deadline: Duration,
    body_deadline: Duration,
    max_unverified: usize,
    max_connections: usize,
    max_sessions: usize,
    reconnect_wait: (Duration, Duration),
    resync_interval: Duration,
    sign_of_life: Duration,
    close_grace: Duration,
}

impl HttpTransportBuilder {
    pub(crate) fn new(cluster: String) -> Self {
        Self {
            cluster,
            listen: None,
            peers: Vec::new(),
            advertised: None,
            secrets: [None, None],
            insecure: false,
            networks: None,
            ports: None,
            resolver: Arc::new(SystemResolver),
            dns_interval: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(2),
            body_cap: 1 << 20,
            queue_frames: 1_024,
            subscription_frames: 1_024,
            header_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(5),
            max_unverified: 64,
            max_connections: 1_024,
            max_sessions: 4_096,
            reconnect_wait: (Duration::from_millis(50), Duration::from_secs(2)),
            resync_interval: Duration::from_millis(100),
            sign_of_life: Duration::from_secs(10),
            close_grace: Duration::from_millis(500),
        }
    }

    /// Listens on `address`; port 0 takes a free one, which [`HttpTransport::local_addr`] tells. Without
    /// this the transport receives only through [`HttpTransport::router`].
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Adds a peer: `host:port`, `http://host:port/prefix`, `dns:name:port` for all addresses behind a name, or
    /// `log` for all nodes that share this node's log, if it [keeps members](invalidation_core::Members). The node's
    /// own address may be among them.
    pub fn peer(mut self, peer: impl Into<String>) -> Self {
        self.peers.push(peer.into());
        self
    }

    /// Adds peers; see [`peer`](Self::peer).
    pub fn peers<P: Into<String>>(mut self, peers: impl IntoIterator<Item = P>) -> Self {
        self.peers.extend(peers.into_iter().map(Into::into));
        self
    }

    /// Where the others reach this node, for the peer `log`: `host:port`, or `http://host:port/prefix` where the router
    /// is mounted. A name is resolved here, every [`dns_interval`](Self::dns_interval), and its address announced.
    /// Default: where it listens, which must then be no unspecified address such as `0.0.0.0`.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertised = Some(address.into());
        self
    }

    /// The secret that all nodes of the cluster share, of at least 16 bytes: what is sent is signed with it.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secrets[0] = Some(secret.into());
        self
    }

    /// A second secret that is accepted too, so that the first can be changed without an interruption: give
    /// all nodes (old, new), then (new, old), then (new).
    pub fn second_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secrets[1] = Some(secret.into());
        self
    }

    /// Runs without a secret: whoever reaches this node can invalidate its caches. Its frames come as
    /// [`Sender::Unknown`](invalidation_core::Sender::Unknown).
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// The networks in which discovered (`dns:`, `log`) peers may be. Default: loopback, private and unique local
    /// ones.
    pub fn allow_networks(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.networks = Some(networks.into_iter().collect());
        self
    }

    /// The ports that discovered (`dns:`, `log`) peers may have. Default: the one that is written with the name, and any
    /// that a member announces.
    pub fn allow_ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = Some(ports.into_iter().collect());
        self
    }

    /// How names become addresses. Default: the system's resolver.
    pub fn resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// How often names are resolved again. Default: 10 s.
    pub fn dns_interval(mut self, interval: Duration) -> Self {
        self.dns_interval = interval;
        self
    }

    /// How long a peer may take to answer. Default: 2 s.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// The largest body accepted and sent, in bytes; the same on all nodes. It bounds the largest frame.
    /// Default: 1 MiB.
    pub fn body_cap(mut self, bytes: usize) -> Self {
        self.body_cap = bytes;
        self
    }

    /// How many frames may wait for one peer before they collapse to a resync. Default: 1,024. They also
    /// collapse at eight times the body cap in bytes.
    pub fn queue_frames(mut self, frames: usize) -> Self {
        self.queue_frames = frames;
        self
    }

    /// How many frames may wait for the node before they become a gap. Default: 1,024, and at most eight
    /// times the body cap in bytes.
    pub fn subscription_frames(mut self, frames: usize) -> Self {
        self.subscription_frames = frames;
        self
    }

    /// How long a connection to the own listener may take to send a request's header, which is also how
    /// long it may be idle; well above [`sign_of_life`](Self::sign_of_life) of the peers. Default: 30 s.
    pub fn header_deadline(mut self, deadline: Duration) -> Self {
        self.header_deadline = deadline;
        self
    }

    /// How long a request's body may take. Default: 5 s.
    pub fn body_deadline(mut self, deadline: Duration) -> Self {
        self.body_deadline = deadline;
        self
    }

    /// How many requests may be in flight whose signature is not verified yet; more are answered with 503.
    /// Default: 64.
    pub fn max_unverified(mut self, requests: usize) -> Self {
        self.max_unverified = requests;
        self
    }

    /// How many connections the own listener keeps; more are closed at once. Default: 1,024.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How many replay windows are kept, one for each sender. Above the number of nodes; see the crate's
    /// docs. Default: 4,096.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// How long a peer that failed is left alone: `first`, doubled each time, at most `longest`, and up to
    /// half of it less at random. Default: 50 ms and 2 s.
    pub fn reconnect_wait(mut self, first: Duration, longest: Duration) -> Self {
        self.reconnect_wait = (first, longest);
        self
    }

    /// The shortest time between two resyncs to one peer. Default: 100 ms.
    pub fn resync_interval(mut self, interval: Duration) -> Self {
        self.resync_interval = interval;
        self
    }

    /// How often an idle connection is tried. Default: 10 s.
    pub fn sign_of_life(mut self, interval: Duration) -> Self {
        self.sign_of_life = interval;
        self
    }

    /// How long [`close`](invalidation_core::CacheInvalidationTransport::close) waits for requests that are
    /// being answered. Default: 500 ms.
    pub fn close_grace(mut self, grace: Duration) -> Self {
        self.close_grace = grace;
        self
    }

    /// Checks the settings and binds the listener; answers and sends once the transport starts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a setting that cannot be, without repeating a secret;
    /// [`ErrorKind::Unavailable`] when the address cannot be bound.
    pub fn build(self) -> Result<HttpTransport, Error> {
        let cluster =
            ClusterName::new(&self.cluster).map_err(|error| invalid(error.to_string()))?;
        let credentials = self.credentials()?;
        let peers = self
            .peers
            .iter()
            .map(|peer| peer.parse::<PeerAddress>())
            .collect::<Result<Vec<_>, _>>()?;
        let advertised = self.advertised()?;
        let mut allowed = Allowed::default();
        if let Some(networks) = self.networks {
            allowed.networks = networks;
        }
        allowed.ports = self.ports;
        for peer in &peers {
            if let PeerAddress::Dns { port, .. } = peer
                && !allowed.allows_port(*port)
            {
                return Err(invalid(format!(
                    "the port of {peer} is not among the allowed ports: add it to allow_ports"
                )));
            }
        }
        if !(MIN_BODY_CAP..=MAX_BODY_CAP).contains(&self.body_cap) {
            return Err(invalid(format!(
                "body_cap is {}: use {MIN_BODY_CAP} to {MAX_BODY_CAP} bytes",
                self.body_cap
            )));
        }
        for (name, duration) in [
            ("publish_timeout", self.publish_timeout),
            ("dns_interval", self.dns_interval),
            ("header_deadline", self.header_deadline),
            ("body_deadline", self.body_deadline),
            ("sign_of_life", self.sign_of_life),
            ("reconnect_wait's first", self.reconnect_wait.0),
        ] {
            if duration.is_zero() {
                return Err(invalid(format!("{name} is zero: use a longer time")));
            }
        }
        if self.reconnect_wait.1 < self.reconnect_wait.0 {
            return Err(invalid("reconnect_wait's longest is below its first"));
        }
        for (name, number) in [
            ("queue_frames", self.queue_frames),
            ("subscription_frames", self.subscription_frames),
            ("max_unverified", self.max_unverified),
            ("max_connections", self.max_connections),
            ("max_sessions", self.max_sessions),
        ] {
            if number == 0 || number > u32::MAX as usize {
                return Err(invalid(format!(
                    "{name} is {number}: use 1 to {}",
                    u32::MAX
                )));
            }
        }
        let settings = Settings {
            cluster,
            credentials,
            peers,
            advertised,
            allowed,
            resolver: self.resolver,
            dns_interval: self.dns_interval,
            publish_timeout: self.publish_timeout,
            body_cap: self.body_cap,
            queue_frames: self.queue_frames,
            subscription_frames: self.subscription_frames,
            header_deadline: self.header_deadline,
            body_deadline: self.body_deadline,
            max_unverified: self.max_unverified,
            max_connections: self.max_connections,
            max_sessions: self.max_sessions,
            reconnect_wait: self.reconnect_wait,
            resync_interval: self.resync_interval,
            sign_of_life: self.sign_of_life,
            close_grace: self.close_grace,
        };
        HttpTransport::bind_to(settings, self.listen)
    }

    fn advertised(&self) -> Result<Option<Advertised>, Error> {
        let from_log = self.peers.iter().any(|peer| peer == "log");
        let known = |at: SocketAddr| !at.ip().is_unspecified();
        match &self.advertised {
            Some(_) if !from_log => Err(invalid(
                "an address is advertised, and nobody looks for it: add the peer `log`, or take it out",
            )),
            Some(text) => text.parse().map(Some),
            None if from_log && !self.listen.is_some_and(known) => Err(invalid(
                "the peer `log` needs an address at which the others reach this node, and where it listens does not \
                 tell: advertise one, host:port",
            )),
            None => Ok(None),
        }
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        let [first, second] = &self.secrets;
        for secret in [first, second].into_iter().flatten() {
            if secret.len() < MIN_SECRET {
                return Err(invalid(format!(
                    "a secret has {} bytes: use at least {MIN_SECRET}, random ones",
                    secret.len()
                )));
            }
        }
        match (first, second, self.insecure) {
            (None, None, true) => Ok(Credentials::Insecure),
            (None, None, false) => Err(invalid(
                "there is no secret: set one that all nodes share, or write insecure = true to let anybody \
                 who reaches this node invalidate its caches",
            )),
            (_, _, true) => Err(invalid(
                "there is a secret and insecure = true: remove one of them",
            )),
            (None, Some(_), false) => Err(invalid(
                "there is a second secret but no first: requests are signed with the first",
            )),
            (Some(first), second, false) => Ok(Credentials::Keys(
                [Some(first), second.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|secret| Key::new(secret))
                    .collect(),
            )),
        }
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Invalid, "http", "build", message)
}

impl fmt::Debug for HttpTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither secrets nor peers, which are not yet checked and may hold a password.
        f.debug_struct("HttpTransportBuilder")
            .field("cluster", &self.cluster)
            .field("listen", &self.listen)
            .field("peers", &self.peers.len())
            .field("secrets", &self.secrets.iter().flatten().count())
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}
