//! Core subjects as the fast path.

mod builder;
mod desk;
mod failure;
mod line;
mod lines;
mod state;
mod subjects;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport, Delivery, Error, ErrorKind, Outgoing, Subscription,
    TransportCapabilities,
};
use tokio::time::{Instant, timeout_at};

use self::{
    builder::Settings,
    lines::{Asks, Lines, Opened},
};
use crate::error::{BACKEND, error, timed_out};

pub use builder::NatsTransportBuilder;

/// Core NATS: frames are messages on one subject.
///
/// ```no_run
/// # fn run() -> Result<(), invalidation_core::Error> {
/// use invalidation_transport_nats::NatsTransport;
///
/// let transport = NatsTransport::builder("billing")
///     .url("tls://nats-1,nats-2,nats-3")
///     .credentials_file("/etc/app/nats.creds")
///     .build()?;
/// # Ok(()) }
/// ```
///
/// # Delivery semantics
/// - **At most once, one attempt.** A frame is one message on `cache_invalidation.CLUSTER.frame`, where each byte of the
///   cluster's name that is no letter, digit, `_` or `-` is written as `%XX`. A user must be allowed to publish to and to
///   subscribe to `cache_invalidation.CLUSTER.>`.
/// - **Outcomes.** `Ok`: a message that this link sent to itself behind the frame has come back, so that the server has
///   taken the frame; one such message serves all frames that are under way. Nothing is known of each node, and nothing
///   is acknowledged. `TimedOut`: the frame may or may not have been sent. Any other error: it was not, unless the link was
///   lost before the answer came. After a refused connection frames fail at once for a while.
/// - **Live.** A subscription is returned once what this link sent to the cluster has come over it: the driver's `flush`
///   only empties a buffer, and says nothing of the server.
/// - **Loss.** A link that ended, on which nothing is heard for too long, or on which the server said an error, ends the
///   subscription with an error. The driver would connect again without a word, lose what it had written, and send what
///   waited in its queue, be it minutes later; here each of its clients is used for one connection.
/// - **Overflow.** What the node does not read waits in the driver's buffer, above which it drops, which is
///   [`Gap(Overflow)`](invalidation_core::GapReason::Overflow), ahead of frames that wait. A server that drops for a slow
///   consumer ends the link. One that announces its own end (lame-duck mode) is a gap, and later the end of the link.
/// - **Echoes.** A node receives its own frames.
/// - **Of others.** Whoever may publish to the subject can send frames; see [`sender`](NatsTransportBuilder::sender). A
///   message to `cache_invalidation.CLUSTER.nudge` is a doorbell, which makes each node read its log. What is no frame is
///   [`Gap(FrameUnreadable)`](invalidation_core::GapReason::FrameUnreadable).
///
/// # Several servers
/// A link goes to any one of the URL's servers, and to the next one when that is lost. Servers that they tell of
/// themselves are not used.
///
/// Servers of a cluster tell each other who listens where, and nobody is told when they have. Until then what is published
/// at another server does not come. So on a server that is one of several a subscription tells a gap once more,
/// [`notices_loss_within`](NatsTransportBuilder::notices_loss_within) after it was made. What is lost between two servers
/// later, because the route between them breaks, no client is told of at all: the node finds it by the numbers of the next
/// frames, or in its log.
///
/// # Metrics
/// The counters `cache_invalidation_nats_subscription_overflows_total`, `cache_invalidation_nats_unreadable_total` and
/// `cache_invalidation_nats_links_lost_total`.
///
/// It needs a tokio runtime from its first call on. Dropping it ends its tasks and connections. The driver logs each
/// event of a connection under the target `async_nats`, at the level `info` and without credentials.
pub struct NatsTransport {
    settings: Arc<Settings>,
    lines: Lines,
}

impl NatsTransport {
    /// A transport of the cluster of this name: 1 to 128 bytes, the same on all nodes. Clusters of different names, and
    /// those in different accounts, know nothing of each other.
    pub fn builder(cluster: impl Into<String>) -> NatsTransportBuilder {
        NatsTransportBuilder::new(cluster.into())
    }

    fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        Self {
            lines: Lines::new(Arc::clone(&settings)),
            settings,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.publish_timeout
    }

    /// A link, within the time that a call has.
    async fn line(
        &self,
        operation: &'static str,
        asks: Asks,
        deadline: Instant,
    ) -> Result<Opened, Error> {
        match timeout_at(deadline, self.lines.get(operation, asks)).await {
            Ok(opened) => opened,
            Err(_) => Err(timed_out(operation, self.settings.publish_timeout)),
        }
    }
}

#[async_trait]
impl CacheInvalidationTransport for NatsTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::new(BACKEND, self.settings.max_frame);
        capabilities.echoes = true;
        capabilities.notices_loss_within = self.settings.notices_loss_within;
        capabilities
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        const OPERATION: &str = "subscribe";
        let deadline = self.deadline();
        let subscribing = async {
            let (line, tested) = self.line(OPERATION, Asks::Caller, deadline).await?;
            let subscriber = match tested {
                Some(subscriber) => subscriber,
                None => line.listen(OPERATION, deadline).await?,
            };
            Ok(line.reader(subscriber).boxed())
        };
        self.lines.unless_closed(OPERATION, subscribing).await
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        const OPERATION: &str = "publish";
        let (size, max_frame) = (frame.bytes.len(), self.settings.max_frame);
        let deadline = self.deadline();
        let publishing = async {
            if size > max_frame {
                return Err(error(
                    ErrorKind::TooLarge,
                    OPERATION,
                    format!("a frame of {size} bytes is above max_frame ({max_frame}): split it"),
                ));
            }
            let (line, _) = self.line(OPERATION, Asks::Frame, deadline).await?;
            line.publish(frame.bytes, deadline).await?;
            Ok(Delivery::default())
        };
        self.lines.unless_closed(OPERATION, publishing).await
    }

    async fn probe(&self) -> Result<(), Error> {
        const OPERATION: &str = "probe";
        let deadline = self.deadline();
        let probing = async {
            let (line, _) = self.line(OPERATION, Asks::Caller, deadline).await?;
            line.probe(deadline).await
        };
        self.lines.unless_closed(OPERATION, probing).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.lines.close().await;
        Ok(())
    }
}

impl fmt::Debug for NatsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsTransport")
            .field("cluster", &self.settings.cluster)
            .field("server", &self.settings.server)
            .finish_non_exhaustive()
    }
}
