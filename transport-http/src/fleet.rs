//! All peers: those of the list, and those discovered.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use invalidation_core::{
    AckSink, Applied, Destination, Error, ErrorKind, Members, NodeId, Outgoing, PeerOutcome,
};
use metrics::{counter, gauge};
use parking_lot::RwLock;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::{PeerAddress, discovered},
    builder::Settings,
    connect::Endpoint,
    discover::MAX_DISCOVERED,
    members::{self, Advertised},
    peer::{Peer, run},
    peer_queue::{Outcome, Queued, Reply},
};

/// How long one resolution may take.
pub(crate) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a name is tried again while nothing is known of it.
const FIRST_RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// The sending half of a transport.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) settings: Arc<Settings>,
    peers: RwLock<Arc<[Arc<Peer>]>>,
    /// Set before the first frame goes to the peers then known: who is discovered later may have missed one.
    published: AtomicBool,
    /// What the log of this node keeps, once it is known.
    members: OnceLock<Members>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Fleet {
    pub(crate) fn new(
        settings: Arc<Settings>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            settings,
            peers: RwLock::new(Arc::default()),
            published: AtomicBool::new(false),
            members: OnceLock::new(),
            tasks,
            stop,
        }
    }

    /// Where the peers tell how they are reached. The first word counts.
    pub(crate) fn meet(&self, members: &Members) {
        let _known_already = self.members.set(members.clone());
    }

    /// Whether peers are wanted that nobody tells of.
    pub(crate) fn lacks_members(&self) -> bool {
        self.settings.wants_members() && self.members.get().is_none()
    }

    /// Starts to talk to the peers, as `node`, which is reached at `own`. Call it once, within a runtime.
    pub(crate) fn start(self: &Arc<Self>, node: NodeId, own: Option<Advertised>) {
        let mut names = Vec::new();
        for address in &self.settings.peers {
            match address {
                PeerAddress::Fixed { name, endpoint } => {
                    self.add(name.clone(), endpoint.clone(), node);
                }
                PeerAddress::Dns { name, port } => names.push((name.clone(), *port)),
                PeerAddress::Log => {}
            }
        }
        if let Some(members) = self.members.get().filter(|_| self.settings.wants_members()) {
            self.run(members::follow(self.clone(), members.clone(), node));
            if let Some(own) = own {
                self.run(members::announce(self.clone(), members.clone(), own, node));
            }
        }
        for (name, port) in names {
            let discovery = Discovery {
                fleet: self.clone(),
                name,
                port,
                node,
                known: Known::default(),
            };
            self.run(discovery.run());
        }
    }

    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    fn add(self: &Arc<Self>, name: String, endpoint: Endpoint, node: NodeId) -> Arc<Peer> {
        let peer = {
            let mut peers = self.peers.write();
            let missed = self.published.load(Ordering::SeqCst);
            let stop = self.stop.child_token();
            let peer = Arc::new(Peer::new(name, &self.settings, missed, stop));
            *peers = peers.iter().cloned().chain([peer.clone()]).collect();
            gauge!("cache_invalidation_http_peers").set(peers.len() as f64);
            peer
        };
        self.tasks
            .spawn(run(peer.clone(), endpoint, self.settings.clone(), node));
        peer
    }

    fn remove(&self, gone: &Arc<Peer>) {
        gone.stop.cancel();
        let mut peers = self.peers.write();
        *peers = peers
            .iter()
            .filter(|peer| !Arc::ptr_eq(peer, gone))
            .cloned()
            .collect();
        gauge!("cache_invalidation_http_peers").set(peers.len() as f64);
    }

    /// Sends one frame to the peers it is for. Everything is queued before this waits; dropping it recalls
    /// nothing.
    pub(crate) async fn publish(&self, frame: Outgoing) -> Result<Vec<PeerOutcome>, Error> {
        let deadline = Instant::now() + self.settings.publish_timeout;
        self.published.store(true, Ordering::SeqCst);
        let peers = self.peers.read().clone();
        let mut waiting = Vec::with_capacity(peers.len());
        for peer in peers.iter() {
            if let Destination::Node(node) = frame.to
                && peer.node() != Some(node)
            {
                continue;
            }
            let (answer, outcome) = oneshot::channel();
            peer.queue.push(Queued {
                bytes: frame.bytes.clone(),
                want_ack: frame.want_ack,
                answer,
            });
            waiting.push((peer, outcome));
        }
        if let Destination::Node(node) = frame.to
            && waiting.is_empty()
        {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "http",
                "publish",
                format!("no peer is known to be node {node} (it may not have been greeted yet)"),
            ));
        }
        let mut outcomes = Vec::with_capacity(waiting.len());
        for (peer, outcome) in waiting {
            // One deadline for all, so that waiting in turn takes no longer than waiting at once.
            let outcome = match timeout_at(deadline, outcome).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(Arc::new(closed("publish"))),
                Err(_) => Err(Arc::new(Error::new(
                    ErrorKind::TimedOut,
                    "http",
                    "publish",
                    format!(
                        "the peer did not confirm within {:?}",
                        self.settings.publish_timeout
                    ),
                ))),
            };
            outcomes.extend(report(peer, outcome));
        }
        Ok(outcomes)
    }

    /// Every address to try in a probe: the list, and what the names stand for now.
    pub(crate) async fn endpoints(&self) -> Vec<(String, Endpoint)> {
        let mut endpoints = Vec::new();
        for address in &self.settings.peers {
            match address {
                PeerAddress::Fixed { name, endpoint } => {
                    endpoints.push((name.clone(), endpoint.clone()));
                }
                PeerAddress::Dns { name, port } => {
                    endpoints.extend(self.resolve(name, *port).await.into_iter().flatten());
                }
                PeerAddress::Log => {
                    let others = self.members.get().map(Members::others);
                    let others = others.and_then(|others| others.borrow().clone());
                    endpoints.extend(members::endpoints(self, &others.unwrap_or_default()));
                }
            }
        }
        endpoints
    }

    /// The allowed addresses behind a name, by their own names; `None` when it did not resolve.
    async fn resolve(&self, name: &str, port: u16) -> Option<HashMap<String, Endpoint>> {
        let answer =
            match timeout(RESOLVE_TIMEOUT, self.settings.resolver.resolve(name, port)).await {
                Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
                failed => {
                    let why = match failed {
                        Ok(Err(error)) => error.to_string(),
                        Ok(Ok(_)) => "no address".into(),
                        Err(_) => "timed out".into(),
                    };
                    tracing::warn!(
                        name,
                        why,
                        "peers could not be resolved; those known are kept"
                    );
                    counter!("cache_invalidation_http_resolve_failures_total").increment(1);
                    return None;
                }
            };
        let mut found = HashMap::new();
        for address in answer {
            if self.admits(&name, address, found.len()) {
                found.insert(address.to_string(), discovered(address));
            }
        }
        Some(found)
    }

    /// Whether what was discovered may be connected to, beside `count` others (`P18`).
    pub(crate) fn admits(
        &self,
        source: &dyn fmt::Display,
        address: SocketAddr,
        count: usize,
    ) -> bool {
        let refused = if !self.settings.allowed.allows(address) {
            "not_allowed"
        } else if count >= MAX_DISCOVERED {
            "too_many"
        } else {
            return true;
        };
        tracing::warn!(%source, %address, refused, "a discovered peer is not used; see allow_networks and allow_ports");
        counter!("cache_invalidation_http_peers_refused_total", "reason" => refused).increment(1);
        false
    }
}

/// What the publisher is told; `None` for a peer that is this node.
fn report(peer: &Peer, outcome: Outcome) -> Option<PeerOutcome> {
    let (label, result) = match outcome {
        Ok(Reply::Itself) => return None,
        Ok(Reply::Received) => ("received", Ok(None)),
        Ok(Reply::Applied) => ("applied", Ok(applied())),
        Err(error) => {
            let label = match error.kind {
                ErrorKind::TimedOut => "timed_out",
                ErrorKind::Unavailable => "unavailable",
                ErrorKind::TooLarge => "overflow",
                ErrorKind::Denied => "denied",
                ErrorKind::Closed => "closed",
                _ => "other",
            };
            (label, Err(error))
        }
    };
    counter!("cache_invalidation_http_peer_outcomes_total", "outcome" => label).increment(1);
    Some(PeerOutcome::new(peer.name.clone(), peer.node(), result))
}

/// The word of the peer's node, brought here: a node makes one only through its sink.
fn applied() -> Option<Applied> {
    let (sink, mut word) = AckSink::new();
    sink.applied();
    word.try_recv().ok()
}

/// The transport is no more.
pub(crate) fn closed(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::Closed,
        "http",
        operation,
        "the transport was closed",
    )
}

/// The task that keeps up with one name.
struct Discovery {
    fleet: Arc<Fleet>,
    name: String,
    port: u16,
    node: NodeId,
    known: Known,
}

impl Discovery {
    async fn run(mut self) {
        let interval = self.fleet.settings.dns_interval;
        loop {
            let found = self.fleet.resolve(&self.name, self.port).await;
            let pause = match found {
                Some(found) => {
                    self.known.keep_up_with(&self.fleet, self.node, found);
                    interval
                }
                None if self.known.0.is_empty() => interval.min(FIRST_RESOLVE_PAUSE),
                None => interval,
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// The peers of one source, by their names.
#[derive(Default)]
pub(crate) struct Known(HashMap<String, Arc<Peer>>);

impl Known {
    /// These are the peers now.
    pub(crate) fn keep_up_with(
        &mut self,
        fleet: &Arc<Fleet>,
        node: NodeId,
        found: HashMap<String, Endpoint>,
    ) {
        self.0.retain(|name, peer| {
            let keep = found.contains_key(name);
            if !keep {
                fleet.remove(peer);
            }
            keep
        });
        for (name, endpoint) in found {
            if let Entry::Vacant(place) = self.0.entry(name) {
                let peer = fleet.add(place.key().clone(), endpoint, node);
                place.insert(peer);
            }
        }
    }
}
