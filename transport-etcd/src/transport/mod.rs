//! Puts and a watch as the fast path: frames are values of one key.

mod builder;
mod inbox;
mod outbox;
mod value;
mod watch;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use etcd_client::GetOptions;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport, Delivery, Error, ErrorKind, NodeId, Outgoing, Subscription,
    TransportCapabilities,
};
use tokio::time::timeout;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::{builder::Settings, outbox::Outbox, value::MAX_FRAME, watch::Watch};
use crate::{
    error::{BACKEND, closed, error, timed_out},
    server::{Link, Servers},
};

pub use builder::EtcdTransportBuilder;

/// Puts and a watch of an etcd cluster.
///
/// ```no_run
/// # fn run() -> Result<(), invalidation_core::Error> {
/// use invalidation_transport_etcd::EtcdTransport;
///
/// let transport = EtcdTransport::builder("billing")
///     .url("etcds://app:secret@etcd-1,etcd-2,etcd-3")
///     .build()?;
/// # Ok(()) }
/// ```
///
/// # Keys
/// One key for each cluster, `/cache-invalidation/CLUSTER/frames`, which every put overwrites. A watch yields each put of a
/// key, however soon the next one follows, so that there is nothing to clean up after a node that is gone, and no lease
/// whose end would be an event too. A user needs the right to read and write that key.
///
/// What was overwritten stays in the store's history until it is compacted: **switch auto-compaction on**
/// (`--auto-compaction-mode revision --auto-compaction-retention 10000`, or some minutes). Without it the store grows with every
/// put up to its quota, and then the cluster refuses to write.
///
/// # Delivery semantics
/// - **At most once, one attempt.** What waits while a put is under way goes together in the next one, in order. A frame
///   whose time is over before it is sent is dropped.
/// - **Outcomes.** `Ok`: a majority of the members has it. `TimedOut`: it may or may not have been put. Any other error: it
///   was not, unless the link was lost before the answer came. After a refused connection frames fail at once for a
///   while. A store without space is [`ReadOnly`](ErrorKind::ReadOnly).
/// - **Live.** A subscription is returned once the server has created its watch. It begins at the present: no revision is
///   asked for, so that neither a compacted one nor one of the future, after a restore, can be.
/// - **Loss.** A watch that was cancelled, since it fell behind a compaction or its member lost the leader, and a link
///   that ended or answers nothing in time, end the subscription with an error. It never connects again by itself. A
///   session whose token expired is replaced by the next call; one that is idle is tried, every nine seconds by default.
/// - **Not everything a watch loses is told.** Servers such as 3.4.23 can drop events of a watch that goes on
///   (etcd-io/etcd#15220, #17529, #18089). The node finds a hole by the numbers of its frames, and what came last in its
///   log: there is no safety on a watch alone.
/// - **Overflow** of the subscription's buffer drops the frame and yields
///   [`Gap(Overflow)`](invalidation_core::GapReason::Overflow), ahead of frames that wait. The watch is always read, since the
///   server keeps for a watcher what it leaves.
/// - **Echoes.** A node does not receive its own frames: they come back, and are dropped by the node's id.
/// - **Of others.** Whoever may write the key may say anything; see [`sender`](EtcdTransportBuilder::sender). An empty value
///   is a doorbell, which makes each node read its log. What is no frame is
///   [`Gap(FrameUnreadable)`](invalidation_core::GapReason::FrameUnreadable).
///
/// # Metrics
/// The counters `cache_invalidation_etcd_subscription_overflows_total`, `cache_invalidation_etcd_unreadable_total` and
/// `cache_invalidation_etcd_links_lost_total`.
///
/// It needs a tokio runtime from its first call on. Dropping it ends its tasks and connections.
pub struct EtcdTransport {
    settings: Arc<Settings>,
    link: Arc<Link>,
    node: Arc<OnceLock<NodeId>>,
    outbox: OnceLock<Outbox>,
    tasks: TaskTracker,
    closing: CancellationToken,
    _stop: DropGuard,
}

impl EtcdTransport {
    /// A transport of the cluster of this name: 1 to 128 bytes, the same on all nodes. Clusters of different names know
    /// nothing of each other.
    pub fn builder(cluster: impl Into<String>) -> EtcdTransportBuilder {
        EtcdTransportBuilder::new(cluster.into())
    }

    fn new(settings: Settings, servers: Servers) -> Self {
        let closing = CancellationToken::new();
        Self {
            settings: Arc::new(settings),
            link: Arc::new(Link::new(servers, closing.clone())),
            node: Arc::default(),
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
            let (outbox, courier) = Outbox::new(
                Arc::clone(&self.settings),
                Arc::clone(&self.link),
                Arc::clone(&self.node),
            );
            self.tasks.spawn(courier.run(self.closing.clone()));
            outbox
        }))
    }
}

#[async_trait]
impl CacheInvalidationTransport for EtcdTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::new(BACKEND, MAX_FRAME);
        capabilities.notices_loss_within = self.settings.notices_loss_within;
        capabilities
    }

    fn bind(&self, node: NodeId) {
        // Called once.
        let _ = self.node.set(node);
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        const OPERATION: &str = "subscribe";
        // It sees to it that the session stays of use.
        self.outbox(OPERATION)?;
        let watch = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(closed(OPERATION)),
            opened = Watch::open(&self.settings, &self.link) => opened?,
        };
        let node = *self.node.get_or_init(NodeId::random);
        let stop = self.closing.child_token();
        let settings = Arc::clone(&self.settings);
        let (inbox, reader) = inbox::pair(settings.buffered, settings.sender, stop.clone());
        let link = Arc::clone(&self.link);
        self.tasks
            .spawn(watch.follow(inbox, settings, link, node, stop));
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

    /// Reads the key, through the leader.
    async fn probe(&self) -> Result<(), Error> {
        const OPERATION: &str = "probe";
        let limit = self.settings.publish_timeout;
        let key = self.settings.key.as_str();
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(closed(OPERATION)),
            asked = ask(&self.link, OPERATION, limit, key) => asked,
        }
    }

    async fn close(&self) -> Result<(), Error> {
        self.closing.cancel();
        self.tasks.close();
        // None of them waits for the server then.
        self.tasks.wait().await;
        self.link.close().await;
        Ok(())
    }
}

/// A round trip to a majority that changes nothing. A session that is found lost is replaced, for the same reason.
async fn ask(
    link: &Link,
    operation: &'static str,
    limit: Duration,
    key: &str,
) -> Result<(), Error> {
    let asking = async {
        let had_session = link.has_session();
        match ask_once(link, operation, limit, key).await {
            Err(_) if had_session && !link.has_session() => {
                ask_once(link, operation, limit, key).await
            }
            asked => asked,
        }
    };
    match timeout(limit, asking).await {
        Ok(asked) => asked,
        Err(_) => Err(timed_out(operation, limit)),
    }
}

async fn ask_once(
    link: &Link,
    operation: &'static str,
    limit: Duration,
    key: &str,
) -> Result<(), Error> {
    let options = GetOptions::new().with_count_only();
    link.call(operation, limit, move |session| async move {
        session.kv().get(key, Some(options)).await.map(drop)
    })
    .await
}

impl fmt::Debug for EtcdTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTransport")
            .field("cluster", &self.settings.cluster)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}
