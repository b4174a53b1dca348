//! `LISTEN` and `NOTIFY` as the fast path: frames are notifications on one channel of one database.

mod builder;
mod channel;
mod failure;
mod inbox;
mod link;
mod listen;
mod outbox;
mod payload;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

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

use self::{builder::Settings, failure::closed, outbox::Outbox, payload::MAX_FRAME};
use crate::error::{BACKEND, error};

pub use builder::PgTransportBuilder;

/// `LISTEN` and `NOTIFY` of a PostgreSQL database.
///
/// ```no_run
/// # fn run() -> Result<(), invalidation_core::Error> {
/// use invalidation_transport_pg::PgTransport;
///
/// let transport = PgTransport::builder("billing")
///     .url("postgres://app:secret@db/billing")
///     .build()?;
/// # Ok(()) }
/// ```
///
/// # Delivery semantics
/// - **At most once, one attempt.** A frame is one notification, sent after the business transaction on a connection of
///   the transport's own: `NOTIFY` within a transaction takes a lock that every notifying commit of the server waits
///   for. What waits while others are under way goes together in the next transaction, in order. A frame whose time is over before
///   it is sent is dropped.
/// - **Outcomes.** `Ok`: the server has it for everybody who listens; nothing is known of each node, and nothing is
///   acknowledged. `TimedOut`: it may or may not have been sent. Any other error: it was not, unless the link was lost
///   before the answer came. After a refused connection frames fail at once for a while.
/// - **Live.** A subscription is returned once a notification from another connection has come over it. Behind a pooler
///   that shares sessions `LISTEN` succeeds and nothing ever comes: that is [`Invalid`](ErrorKind::Invalid), with what to change.
/// - **Loss.** A link that ended, or answers nothing in time, ends the subscription with an error. It never connects
///   again by itself.
/// - **Overflow** of the subscription's buffer drops the frame and yields
///   [`Gap(Overflow)`](invalidation_core::GapReason::Overflow), ahead of frames that wait. The link is always read, since
///   a listener that does not read makes the server keep what everybody sends.
/// - **Echoes.** A node receives its own frames.
/// - **Of others.** Whoever may connect to the database may notify the channel, `cache_invalidation:` and the cluster's
///   name; see [`sender`](PgTransportBuilder::sender). `NOTIFY` without a payload is a doorbell, which makes each node
///   read its log. What is no frame is [`Gap(FrameUnreadable)`](invalidation_core::GapReason::FrameUnreadable).
///
/// # Metrics
/// The counters `cache_invalidation_postgres_subscription_overflows_total`,
/// `cache_invalidation_postgres_unreadable_total` and `cache_invalidation_postgres_links_lost_total`.
///
/// It needs a tokio runtime from its first call on. Dropping it ends its tasks and connections.
pub struct PgTransport {
    settings: Arc<Settings>,
    outbox: OnceLock<Outbox>,
    tasks: TaskTracker,
    closing: CancellationToken,
    _stop: DropGuard,
}

impl PgTransport {
    /// A transport of the cluster of this name: 1 to 128 bytes, the same on all nodes. Clusters of different names, and
    /// those in different databases, know nothing of each other.
    pub fn builder(cluster: impl Into<String>) -> PgTransportBuilder {
        PgTransportBuilder::new(cluster.into())
    }

    fn new(settings: Settings) -> Self {
        let closing = CancellationToken::new();
        Self {
            settings: Arc::new(settings),
            outbox: OnceLock::new(),
            tasks: TaskTracker::new(),
            _stop: closing.clone().drop_guard(),
            closing,
        }
    }

    /// Where frames are left to be sent; its task starts with the first call.
    fn outbox(&self, operation: &'static str) -> Result<&Outbox, Error> {
        if self.closing.is_cancelled() {
            return Err(closed(operation));
        }
        Ok(self.outbox.get_or_init(|| {
            let (outbox, courier) = Outbox::new(Arc::clone(&self.settings));
            self.tasks.spawn(courier.run(self.closing.clone()));
            outbox
        }))
    }
}

#[async_trait]
impl CacheInvalidationTransport for PgTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::new(BACKEND, MAX_FRAME);
        capabilities.echoes = true;
        capabilities.notices_loss_within = self.settings.notices_loss_within;
        capabilities
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let outbox = self.outbox("subscribe")?;
        let (link, other) = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(closed("subscribe")),
            opened = listen::open(&self.settings) => opened?,
        };
        // After an outage the present one is most likely dead.
        outbox.adopt(other);
        let stop = self.closing.child_token();
        let settings = Arc::clone(&self.settings);
        let (inbox, reader) = inbox::pair(settings.buffered, settings.sender, stop.clone());
        self.tasks
            .spawn(listen::follow(link, inbox, settings, stop));
        Ok(reader.boxed())
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        let outbox = self.outbox("publish")?;
        let size = frame.bytes.len();
        if size > MAX_FRAME {
            return Err(error(
                ErrorKind::TooLarge,
                "publish",
                format!("a frame of {size} bytes is above max_frame ({MAX_FRAME}): split it"),
            ));
        }
        outbox.publish(frame.bytes).await?;
        Ok(Delivery::default())
    }

    async fn probe(&self) -> Result<(), Error> {
        self.outbox("probe")?.probe().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.closing.cancel();
        self.tasks.close();
        // None of them waits for the server then.
        self.tasks.wait().await;
        Ok(())
    }
}

impl fmt::Debug for PgTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.settings.options;
        f.debug_struct("PgTransport")
            .field("cluster", &self.settings.cluster)
            .field("host", &options.get_host())
            .field("port", &options.get_port())
            .field("database", &options.get_database())
            .finish_non_exhaustive()
    }
}
