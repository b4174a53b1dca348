//! Pub/Sub as the fast path: frames are messages on one channel, in a cluster on one shard channel.

mod builder;
mod channel;
mod failure;
mod inbox;
mod listen;
mod outbox;
mod payload;
mod primary;
mod witness;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport, Delivery, Error, ErrorKind, Outgoing, Subscription,
    TransportCapabilities,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::{
    builder::Settings, failure::closed, outbox::Outbox, payload::MAX_FRAME, primary::Primary,
};
use crate::error::{BACKEND, error};

pub use builder::RedisTransportBuilder;

/// Pub/Sub of a Redis or a Valkey; sharded Pub/Sub on a cluster.
///
/// ```no_run
/// # fn run() -> Result<(), invalidation_core::Error> {
/// use invalidation_transport_redis::RedisTransport;
///
/// let transport = RedisTransport::builder("billing")
///     .url("rediss://app@cache.internal:6379")
///     .password("secret")
///     .build()?;
/// # Ok(()) }
/// ```
///
/// # Delivery semantics
/// - **At most once, one attempt.** A frame is one `PUBLISH`, on a cluster one `SPUBLISH`, over a connection that all
///   callers share: nobody waits for another's answer.
/// - **Outcomes.** `Ok`: a server took it for everybody who listens there, and said afterwards that it is the primary, to all
///   who had asked by then; nothing is known of each node, and nothing is acknowledged. `TimedOut`: it may or may not have
///   been sent. Any other error: it was not, unless the link was lost before the answer came, or a replica took it, for
///   its own subscribers alone. After a refused connection frames fail at once for a while.
/// - **Live.** A subscription is returned once the server has confirmed it.
/// - **Loss.** A link that ended, or answers nothing in time, ends the subscription with an error; so does the server where
///   a slow subscriber outgrew `client-output-buffer-limit`, where the user lost its rights, and where the channel's slot
///   moved. It never connects again by itself.
/// - **Failover.** A primary that was made a replica refuses frames at once, and its subscribers are told within
///   [`notices_loss_within`](RedisTransportBuilder::notices_loss_within); Sentinel disconnects them earlier. Subscription
///   and frames of a node leave a server together, once either finds another primary. A primary that was cut off, and that
///   nobody has told so, still serves those who reach it and have found no other.
/// - **Overflow** of the subscription's buffer drops the frame and yields
///   [`Gap(Overflow)`](invalidation_core::GapReason::Overflow), ahead of frames that wait. The link is always read.
/// - **Echoes.** A node receives its own frames.
/// - **Of others.** Whoever may log in may publish on the channel, `cache_invalidation:{CLUSTER}`, unless ACLs say
///   otherwise; see [`sender`](RedisTransportBuilder::sender). With another database than 0 it is
///   `cache_invalidation/DB:{CLUSTER}`, since channels know nothing of databases. A message without a payload is a
///   doorbell, which makes each node read its log. What is no frame is
///   [`Gap(FrameUnreadable)`](invalidation_core::GapReason::FrameUnreadable).
///
/// # Rights
/// `ACL SETUSER app on >PASSWORD resetchannels &cache_invalidation:{billing} +subscribe +publish` is enough; on a cluster
/// `+ssubscribe +spublish +cluster|slots`, and Redis 7 or Valkey. For another database than 0, such as 3, it is
/// `+select` and `&cache_invalidation/3:{billing}`.
///
/// # Metrics
/// The counters `cache_invalidation_redis_subscription_overflows_total`,
/// `cache_invalidation_redis_unreadable_total` and `cache_invalidation_redis_links_lost_total`.
///
/// It needs a tokio runtime from its first call on. Dropping it ends its tasks and connections.
pub struct RedisTransport {
    settings: Arc<Settings>,
    primary: Arc<Primary>,
    outbox: Outbox,
    tasks: TaskTracker,
    closing: CancellationToken,
    _stop: DropGuard,
}

impl RedisTransport {
    /// A transport of the cluster of this name: 1 to 128 bytes, the same on all nodes. Clusters of different names, and
    /// those in different databases, know nothing of each other.
    pub fn builder(cluster: impl Into<String>) -> RedisTransportBuilder {
        RedisTransportBuilder::new(cluster.into())
    }

    fn new(settings: Settings) -> Self {
        let closing = CancellationToken::new();
        let settings = Arc::new(settings);
        let primary = Arc::new(Primary::new());
        Self {
            outbox: Outbox::new(Arc::clone(&settings), Arc::clone(&primary)),
            primary,
            settings,
            tasks: TaskTracker::new(),
            _stop: closing.clone().drop_guard(),
            closing,
        }
    }

    /// Does this unless the transport is closed, before or meanwhile.
    async fn unless_closed<T>(
        &self,
        operation: &'static str,
        doing: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(closed(operation)),
            done = doing => done,
        }
    }
}

#[async_trait]
impl CacheInvalidationTransport for RedisTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::new(BACKEND, MAX_FRAME);
        capabilities.echoes = true;
        capabilities.notices_loss_within = self.settings.notices_loss_within;
        capabilities
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let opening = listen::open(&self.settings, &self.primary, &self.closing);
        // After an outage the present connection for frames is most likely dead.
        let opening = self.outbox.renew_beside(opening);
        let (live, reader) = self.unless_closed("subscribe", opening).await?;
        let (settings, primary) = (Arc::clone(&self.settings), Arc::clone(&self.primary));
        self.tasks.spawn(listen::follow(live, settings, primary));
        Ok(reader.boxed())
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        let size = frame.bytes.len();
        if size > MAX_FRAME {
            return Err(error(
                ErrorKind::TooLarge,
                "publish",
                format!("a frame of {size} bytes is above max_frame ({MAX_FRAME}): split it"),
            ));
        }
        let publishing = self.outbox.publish(frame.bytes);
        self.unless_closed("publish", publishing).await?;
        Ok(Delivery::default())
    }

    async fn probe(&self) -> Result<(), Error> {
        self.unless_closed("probe", self.outbox.probe()).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.closing.cancel();
        self.outbox.close();
        self.tasks.close();
        // None of them waits for the server then.
        self.tasks.wait().await;
        Ok(())
    }
}

impl fmt::Debug for RedisTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTransport")
            .field("cluster", &self.settings.cluster)
            .field("servers", &self.settings.servers)
            .finish_non_exhaustive()
    }
}
