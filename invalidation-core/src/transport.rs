//! The fast path: frames between nodes, milliseconds, best effort.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::oneshot;

use crate::{
    error::Error,
    members::Members,
    words::{GapReason, NodeId},
};

/// Moves opaque frames between nodes, fast and at most once.
///
/// # Contract
/// **The transport promises the node:**
/// - It never retries, reconnects silently, or swallows an error. A client library that reconnects by
///   itself is watched: each reconnect, lag or slow-consumer drop is a [`Signal::Gap`].
/// - [`subscribe`](Self::subscribe) returns only when the backend has confirmed. Buffers are bounded, and
///   overflow is a gap.
/// - What [`publish`](Self::publish) says to be sent is lost by no failure of the publisher's own link without a gap, or
///   an end, at who subscribes: `Ok` is said by who carries the frame on, and never by a buffer on this side.
/// - A silent link (black hole, paused server) is noticed within
///   [`notices_loss_within`](TransportCapabilities::notices_loss_within).
/// - Every method is cancel-safe and may be called concurrently; [`close`](Self::close) is idempotent and
///   ends the subscriptions.
/// - Frames are delivered whole or not at all. While nothing fails, each comes once, in the order of its origin,
///   and no gap is told, but for one with which a subscription may begin; under faults they may be lost,
///   duplicated, delayed and reordered.
/// - No credential appears in `Debug`, errors or logs.
/// - A transport with separate destinations keeps a queue for each, so that one slow peer delays no other
///   (`P16`).
///
/// **The node promises the transport:** frames are at most `max_frame` bytes, already carry cluster, origin
/// and sequence, and need not be understood; it keeps one subscription, and after its end subscribes again
/// with jittered back-off.
#[async_trait]
pub trait CacheInvalidationTransport: fmt::Debug + Send + Sync + 'static {
    /// What this transport claims.
    fn capabilities(&self) -> TransportCapabilities;

    /// Tells the transport which node it works for; called once, before anything else.
    fn bind(&self, node: NodeId) {
        let _ = node;
    }

    /// Tells the transport where the nodes of its cluster tell how they are reached. A node whose log keeps that calls it
    /// at most once, before [`bind`](Self::bind). Wrappers delegate.
    fn meet(&self, members: &Members) {
        let _ = members;
    }

    /// Listens for frames. Live when it returns: a frame that a peer which knows of this subscriber sends
    /// after that is yielded, or a gap is. Who is refused by a backend gets an error, or a subscription that ends at once
    /// with it: never one that stays silent.
    async fn subscribe(&self) -> Result<Subscription, Error>;

    /// Sends one frame: one attempt. It never retries, and errors within the configured timeout (default
    /// 2 s). Many may be in flight. Dropping the future may or may not stop the frame.
    ///
    /// `Ok` means that the frame is out of reach of this node's own failures: a broker has confirmed that it took it
    /// (the reply to Redis' `PUBLISH`; with NATS a flush, one for many), or the outcome at each peer is known. A frame in
    /// a client's write buffer or in a socket is not: it is lost with the link, and no subscriber hears of that, whose
    /// own link is well. Where nobody can confirm, as with multicast, the receiving end finds what is missing, by numbers
    /// of the transport's own, and tells a gap. When the time is over and nothing is known, that is `TimedOut`, and the
    /// frame may or may not arrive.
    ///
    /// Who is refused, by credentials, address or TLS, is told so at once and by kind, as with
    /// [`subscribe`](Self::subscribe) and [`probe`](Self::probe): nobody waits for a time-out to end what no waiting mends.
    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error>;

    /// A round trip to the backend that changes nothing: for checks, health and start-up.
    async fn probe(&self) -> Result<(), Error>;

    /// Ends the subscriptions and all connections. Idempotent.
    async fn close(&self) -> Result<(), Error>;
}

/// What a transport yields. It ends with an error when the link is lost; the node subscribes again, and
/// treats that as a gap *after* it is subscribed again.
pub type Subscription = BoxStream<'static, Result<Signal, Error>>;

/// What a transport claims.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportCapabilities {
    /// The backend's name: `"http"`.
    pub name: &'static str,
    /// The largest frame, in bytes.
    pub max_frame: usize,
    /// Whether a node receives its own frames.
    pub echoes: bool,
    /// Whether [`Outgoing::want_ack`] is answered once the frame was applied.
    pub acknowledges: bool,
    /// Whether [`Destination::Node`] reaches that node alone.
    pub unicast: bool,
    /// How soon a silent link is noticed.
    pub notices_loss_within: Duration,
}

impl TransportCapabilities {
    /// The cautious claims: no echo, no acknowledgement, no unicast, loss noticed within 3 s.
    pub const fn new(name: &'static str, max_frame: usize) -> Self {
        Self {
            name,
            max_frame,
            echoes: false,
            acknowledges: false,
            unicast: false,
            notices_loss_within: Duration::from_secs(3),
        }
    }
}

/// What a subscription yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum Signal {
    /// A frame of a peer.
    Frame(Frame),
    /// Frames may have been lost.
    Gap(GapReason),
    /// A doorbell: read the log now.
    Nudge,
}

/// A received frame.
#[derive(Debug)]
#[non_exhaustive]
pub struct Frame {
    /// As the origin's node made it.
    pub bytes: Bytes,
    /// Whether the transport knows that a member of the cluster sent it.
    pub sender: Sender,
    /// Completed by the node once every target applied it.
    pub ack: Option<AckSink>,
}

impl Frame {
    /// A frame without an acknowledgement.
    pub const fn new(bytes: Bytes, sender: Sender) -> Self {
        Self {
            bytes,
            sender,
            ack: None,
        }
    }

    /// With somebody to tell once it was applied.
    #[must_use]
    pub fn with_ack(mut self, ack: AckSink) -> Self {
        self.ack = Some(ack);
        self
    }
}

/// What a transport knows of who sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A member of the cluster, by a secret, a certificate, or because it is this process.
    Authenticated,
    /// Anybody who can reach the transport. Such a frame never makes the poller skip a log entry (`P8`).
    Unknown,
}

/// Told once a frame was applied by every target. Dropped without a word when it was not.
#[derive(Debug)]
pub struct AckSink(oneshot::Sender<Applied>);

impl AckSink {
    /// A sink, and where its word arrives.
    pub fn new() -> (Self, oneshot::Receiver<Applied>) {
        let (tx, rx) = oneshot::channel();
        (Self(tx), rx)
    }

    /// Says that every target applied it.
    pub fn applied(self) {
        // Nobody waits any more: the publisher timed out, which it reports itself.
        let _ = self.0.send(Applied);
    }
}

/// A frame was applied by every target of the receiving node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied;

impl Applied {
    /// Says so. Only for a transport whose receiving end was told by the node's [`AckSink`].
    pub const fn new() -> Self {
        Self
    }
}

impl Default for Applied {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame to send.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outgoing {
    /// At most `max_frame` bytes.
    pub bytes: Bytes,
    /// To whom.
    pub to: Destination,
    /// Whether to wait until it was applied there, where the transport can tell.
    pub want_ack: bool,
}

impl Outgoing {
    /// A frame to all other nodes, without an acknowledgement.
    pub const fn to_all(bytes: Bytes) -> Self {
        Self {
            bytes,
            to: Destination::All,
            want_ack: false,
        }
    }

    /// Asks to be told once it was applied.
    #[must_use]
    pub const fn wanting_ack(mut self) -> Self {
        self.want_ack = true;
        self
    }
}

/// Whom a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// Every other node of the cluster.
    All,
    /// One node.
    Node(NodeId),
}

/// What became of a frame, by peer. Empty for a broker, which takes it for everybody.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// One outcome for each peer known when it was sent.
    pub peers: Vec<PeerOutcome>,
}

impl Delivery {
    /// These outcomes.
    pub const fn new(peers: Vec<PeerOutcome>) -> Self {
        Self { peers }
    }
}

/// What became of a frame at one peer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerOutcome {
    /// The peer's address, as configured or discovered.
    pub peer: String,
    /// Who answered there, when known.
    pub node: Option<NodeId>,
    /// Received (`Ok(None)`), applied (`Ok(Some(_))`), or why not.
    pub result: Result<Option<Applied>, Arc<Error>>,
}

impl PeerOutcome {
    /// The outcome at `peer`.
    pub const fn new(
        peer: String,
        node: Option<NodeId>,
        result: Result<Option<Applied>, Arc<Error>>,
    ) -> Self {
        Self { peer, node, result }
    }
}

/// A transport as the node keeps it.
pub type SharedTransport = Arc<dyn CacheInvalidationTransport>;
