//! The transport in memory.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    inbox::{End, Inbox},
    transport_faults::{Link, TransportFaults},
};
use crate::{
    error::{Error, ErrorKind},
    transport::{
        AckSink, Applied, CacheInvalidationTransport, Delivery, Destination, Frame, Outgoing,
        PeerOutcome, Sender, Signal, Subscription, TransportCapabilities,
    },
    words::NodeId,
};

/// How long a publish that wants acknowledgements waits for them.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// What connects the [`MemoryTransport`]s of one process. Clones are the same hub; what the `with_` methods
/// set holds for the transports made from the handle they return.
#[derive(Clone)]
pub struct MemoryHub {
    members: Arc<Mutex<Members>>,
    settings: Settings,
}

#[derive(Debug, Clone)]
struct Settings {
    max_frame: usize,
    buffer: usize,
    echoes: bool,
}

#[derive(Default)]
struct Members {
    next: u64,
    subscribers: Vec<Subscriber>,
}

#[derive(Clone)]
struct Subscriber {
    /// Which subscription.
    number: u64,
    /// Whose.
    link: Arc<Link>,
    inbox: Arc<Inbox>,
}

impl MemoryHub {
    /// A hub without transports: frames of at most 64 KiB, 1,024 buffered for each subscriber, no echoes.
    pub fn new() -> Self {
        Self {
            members: Arc::default(),
            settings: Settings {
                max_frame: 64 << 10,
                buffer: 1_024,
                echoes: false,
            },
        }
    }

    /// With frames of at most `bytes`.
    #[must_use]
    pub const fn with_max_frame(mut self, bytes: usize) -> Self {
        self.settings.max_frame = bytes;
        self
    }

    /// With room for `frames` that a subscriber has not taken yet; more is a gap.
    #[must_use]
    pub const fn with_buffer(mut self, frames: usize) -> Self {
        self.settings.buffer = frames;
        self
    }

    /// With transports that receive their own frames.
    #[must_use]
    pub const fn with_echoes(mut self) -> Self {
        self.settings.echoes = true;
        self
    }

    /// How many subscriptions there are.
    pub fn subscribers(&self) -> usize {
        self.members.lock().subscribers.len()
    }

    fn join(&self, link: &Arc<Link>) -> Membership {
        let inbox = Arc::new(Inbox::new(self.settings.buffer));
        let mut members = self.members.lock();
        members.next += 1;
        let number = members.next;
        members.subscribers.push(Subscriber {
            number,
            link: Arc::clone(link),
            inbox: Arc::clone(&inbox),
        });
        Membership {
            members: Arc::clone(&self.members),
            number,
            inbox,
        }
    }

    fn subscribers_of(&self, from: &Arc<Link>, to: Destination) -> Vec<Subscriber> {
        let wanted = |subscriber: &&Subscriber| {
            // Its stream may not have been dropped yet, and nobody is told that it received anything.
            if subscriber.link.is_closed() {
                return false;
            }
            let itself = Arc::ptr_eq(&subscriber.link, from);
            match to {
                Destination::All => !itself || self.settings.echoes,
                Destination::Node(node) => subscriber.link.node() == Some(node),
            }
        };
        let members = self.members.lock();
        members.subscribers.iter().filter(wanted).cloned().collect()
    }
}

impl Default for MemoryHub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHub")
            .field("settings", &self.settings)
            .field("subscribers", &self.subscribers())
            .finish_non_exhaustive()
    }
}

/// One subscription, which leaves the hub when its stream is dropped.
struct Membership {
    members: Arc<Mutex<Members>>,
    number: u64,
    inbox: Arc<Inbox>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = self.members.lock();
        members.subscribers.retain(|s| s.number != self.number);
    }
}

/// A transport between the nodes of one process, for tests and for programs that hold several nodes.
///
/// # Delivery semantics
/// - A frame goes to every other subscription of the hub, at once and in the order in which it was
///   published, or to those of one node. With no fault set nothing is lost but by overflow, which is a
///   [`Signal::Gap`].
/// - Frames are [`Sender::Authenticated`]: they come from this process.
/// - With [`Outgoing::want_ack`], [`publish`](CacheInvalidationTransport::publish) waits up to 2 s for each
///   receiver to have applied the frame.
/// - Publishing never waits for a receiver otherwise (`P16`).
///
/// Clones are the same transport. Each node has its own.
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    hub: MemoryHub,
    link: Arc<Link>,
}

impl MemoryTransport {
    /// A transport on `hub`, which receives nothing until it is subscribed.
    pub fn new(hub: &MemoryHub) -> Self {
        Self {
            hub: hub.clone(),
            link: Arc::new(Link::new()),
        }
    }

    /// What a test may break.
    pub fn faults(&self) -> TransportFaults {
        TransportFaults::new(Arc::clone(&self.link))
    }

    fn send(&self, outgoing: &Outgoing) -> Vec<AtPeer> {
        let mut peers = Vec::new();
        let mut parcels = Vec::new();
        for subscriber in self.hub.subscribers_of(&self.link, outgoing.to) {
            let (sink, acked) = AckSink::new();
            let frame = Frame::new(outgoing.bytes.clone(), Sender::Authenticated);
            // An echo is no peer: nobody waits for it, and no outcome names it.
            let itself = Arc::ptr_eq(&subscriber.link, &self.link);
            parcels.push(Parcel {
                to: Arc::clone(&subscriber.inbox),
                link: Arc::clone(&subscriber.link),
                frame: if outgoing.want_ack && !itself {
                    frame.with_ack(sink)
                } else {
                    frame
                },
            });
            if itself {
                continue;
            }
            peers.push(AtPeer {
                peer: format!("memory:{}", subscriber.number),
                node: subscriber.link.node(),
                acked: outgoing.want_ack.then_some(acked),
            });
        }
        self.link.pass_on(parcels);
        peers
    }

    fn check_size(&self, bytes: &Bytes) -> Result<(), Error> {
        let most = self.hub.settings.max_frame;
        if bytes.len() > most {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "memory",
                "publish",
                format!("a frame of {} bytes exceeds max_frame, {most}", bytes.len()),
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl CacheInvalidationTransport for MemoryTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::new("memory", self.hub.settings.max_frame);
        capabilities.echoes = self.hub.settings.echoes;
        capabilities.acknowledges = true;
        capabilities.unicast = true;
        capabilities
    }

    fn bind(&self, node: NodeId) {
        self.link.bind(node);
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let subscribe = async {
            self.link.check_up("subscribe")?;
            let membership = self.hub.join(&self.link);
            // It ends if the link was cut or closed since it was checked.
            self.link.subscribed(&membership.inbox);
            let stream = stream::unfold(membership, |membership| async move {
                let signal = membership.inbox.take().await?;
                Some((signal, membership))
            });
            Ok(Box::pin(stream.fuse()) as Subscription)
        };
        self.link.subscribes.run(subscribe).await
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        let publish = async {
            self.link.check_up("publish")?;
            self.check_size(&frame.bytes)?;
            let peers = self.send(&frame);
            let outcomes = peers.into_iter().map(AtPeer::outcome);
            Ok(Delivery::new(
                futures_util::future::join_all(outcomes).await,
            ))
        };
        self.link.publishes.run(publish).await
    }

    async fn probe(&self) -> Result<(), Error> {
        let probe = async { self.link.check_up("probe") };
        self.link.probes.run(probe).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.link.go_down(End::Closed);
        Ok(())
    }
}

/// A frame for one subscription.
pub(super) struct Parcel {
    to: Arc<Inbox>,
    link: Arc<Link>,
    frame: Frame,
}

impl Parcel {
    pub(super) fn deliver(self) {
        if self.link.takes_received() {
            self.to.put(Signal::Frame(self.frame));
        }
    }

    /// The same frame once more; an acknowledgement stays with the first.
    pub(super) fn duplicate(&self) -> Self {
        Self {
            to: Arc::clone(&self.to),
            link: Arc::clone(&self.link),
            frame: Frame::new(self.frame.bytes.clone(), self.frame.sender),
        }
    }
}

/// A frame that was sent to one peer.
struct AtPeer {
    peer: String,
    node: Option<NodeId>,
    acked: Option<oneshot::Receiver<Applied>>,
}

impl AtPeer {
    async fn outcome(self) -> PeerOutcome {
        let result = match self.acked {
            None => Ok(None),
            Some(acked) => match tokio::time::timeout(ACK_TIMEOUT, acked).await {
                Ok(Ok(applied)) => Ok(Some(applied)),
                // Dropped without a word: it was lost, or not applied.
                Ok(Err(_)) => Ok(None),
                Err(_) => Err(Arc::new(Error::new(
                    ErrorKind::TimedOut,
                    "memory",
                    "publish",
                    "the peer did not say in time that it applied the frame",
                ))),
            },
        };
        PeerOutcome::new(self.peer, self.node, result)
    }
}
