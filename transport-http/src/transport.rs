//! The transport: the receiving and the sending half, and their life.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::Router;
use futures_util::{StreamExt, future::join_all};
use invalidation_core::{
    CacheInvalidationTransport, Delivery, Error, ErrorKind, Members, NodeId, Outgoing,
    Subscription, TransportCapabilities,
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, runtime::Handle, time::timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    HttpTransportBuilder,
    builder::Settings,
    exchange::Exchange,
    fleet::{Fleet, closed},
    listener::Listener,
    members::Advertised,
    server::{self, Receiver},
};

/// HTTP fan-out. See the [crate's docs](crate).
///
/// It starts with [`bind`](CacheInvalidationTransport::bind), or with the first call of another method: it
/// needs a tokio runtime from then on. Dropping it ends all its tasks and connections at once.
pub struct HttpTransport {
    settings: Arc<Settings>,
    receiver: Arc<Receiver>,
    fleet: Arc<Fleet>,
    local_addr: Option<SocketAddr>,
    stage: Mutex<Stage>,
    tasks: TaskTracker,
    /// Stops what is not an answer in progress.
    closing: CancellationToken,
    kill: CancellationToken,
    _stop: [DropGuard; 2],
}

/// How far the transport's life has come.
enum Stage {
    /// Bound but silent, as this node if that is known.
    Built {
        listener: Option<std::net::TcpListener>,
        node: Option<NodeId>,
    },
    /// Answers and sends, as this node.
    Started(NodeId),
}

impl HttpTransport {
    /// A transport of the cluster of this name: 1 to 128 bytes, the same on all nodes.
    pub fn builder(cluster: impl Into<String>) -> HttpTransportBuilder {
        HttpTransportBuilder::new(cluster.into())
    }

    /// Where the own listener listens. `None` without one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The receiver as a router to mount in an axum app, under any path; peers then name that path as their
    /// prefix: nested under `/internal`, this node is `http://host:port/internal`. It answers 503 until the
    /// transport starts, and after it was closed or dropped.
    ///
    /// Deadlines for headers and a bound on connections are then up to the app; so is `TCP_NODELAY`, without
    /// which answers may be held back (for `axum::serve`: `ListenerExt::tap_io`).
    pub fn router(&self) -> Router {
        server::router(self.receiver.clone())
    }

    pub(crate) fn bind_to(settings: Settings, listen: Option<SocketAddr>) -> Result<Self, Error> {
        let listener = listen
            .map(|address| {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let local_addr = listener.local_addr()?;
                Ok((listener, local_addr))
            })
            .transpose()
            .map_err(|error: std::io::Error| {
                let address = listen.map_or_else(String::new, |address| address.to_string());
                Error::new(
                    ErrorKind::Unavailable,
                    "http",
                    "build",
                    format!("cannot listen on {address}: free the port, or choose another address"),
                )
                .with_source(error)
            })?;
        let (listener, local_addr) = listener.unzip();
        let settings = Arc::new(settings);
        let tasks = TaskTracker::new();
        let closing = CancellationToken::new();
        let kill = CancellationToken::new();
        Ok(Self {
            receiver: Arc::new(Receiver::new(settings.clone())),
            fleet: Arc::new(Fleet::new(settings.clone(), tasks.clone(), closing.clone())),
            settings,
            local_addr,
            stage: Mutex::new(Stage::Built {
                listener,
                node: None,
            }),
            tasks,
            _stop: [closing.clone().drop_guard(), kill.clone().drop_guard()],
            closing,
            kill,
        })
    }

    /// Starts, unless it has; needs a runtime. The node it works for.
    fn start(&self, operation: &'static str) -> Result<NodeId, Error> {
        if self.closing.is_cancelled() {
            return Err(closed(operation));
        }
        if self.fleet.lacks_members() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "http",
                operation,
                "the peer `log` needs a log that keeps members, and there is none: use a log in a database that does, \
                 or name the peers",
            ));
        }
        let mut stage = self.stage.lock();
        let (listener, node) = match &mut *stage {
            Stage::Started(node) => return Ok(*node),
            Stage::Built { listener, node } => {
                (listener.take(), node.unwrap_or_else(NodeId::random))
            }
        };
        *stage = Stage::Started(node);
        if let Some(listener) = listener {
            let socket = TcpListener::from_std(listener).map_err(|error| {
                let message = "the listener cannot be used in this runtime: enable its I/O driver";
                Error::new(ErrorKind::Invalid, "http", operation, message).with_source(error)
            })?;
            let listener = Listener {
                socket,
                receiver: self.receiver.clone(),
                tasks: self.tasks.clone(),
                closing: self.closing.clone(),
                kill: self.kill.clone(),
                max_connections: self.settings.max_connections,
                header_deadline: self.settings.header_deadline,
                grace: self.settings.close_grace,
            };
            self.tasks.spawn(listener.run());
        }
        self.receiver.start(node);
        let listener = || self.local_addr.and_then(Advertised::listener);
        let advertised = self.settings.advertised.clone();
        self.fleet.start(node, advertised.or_else(listener));
        Ok(node)
    }

    async fn greet_everybody(&self, node: NodeId) -> Result<(), Error> {
        let endpoints = self.fleet.endpoints().await;
        let greetings = endpoints.into_iter().map(|(name, endpoint)| async move {
            let mut exchange = Exchange::new(self.settings.clone(), node, endpoint);
            (name, exchange.hello().await)
        });
        let mut failed = None;
        let mut count = 0;
        for (name, answer) in join_all(greetings).await {
            match answer {
                Ok(peer) if peer == node => {}
                Ok(_) => return Ok(()),
                Err(failure) => {
                    count += 1;
                    failed.get_or_insert_with(|| (name, failure.error("probe")));
                }
            }
        }
        match failed {
            None => Ok(()),
            Some((name, error)) => Err(Error::new(
                error.kind,
                "http",
                "probe",
                format!(
                    "none of {count} peers could be greeted; {name}: {}",
                    error.message
                ),
            )),
        }
    }
}

#[async_trait]
impl CacheInvalidationTransport for HttpTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::new("http", self.settings.max_frame());
        capabilities.acknowledges = true;
        capabilities.unicast = true;
        // A sender notices within its timeout; the receiver hears of it by the resync that follows.
        capabilities.notices_loss_within = self.settings.publish_timeout + Duration::from_secs(1);
        capabilities
    }

    fn bind(&self, node: NodeId) {
        if let Stage::Built { node: unset, .. } = &mut *self.stage.lock() {
            *unset = Some(node);
        }
        // Without a runtime it starts with the first call that has one.
        if Handle::try_current().is_ok()
            && let Err(error) = self.start("bind")
        {
            tracing::error!(%error, "the transport did not start");
        }
    }

    fn meet(&self, members: &Members) {
        self.fleet.meet(members);
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.start("subscribe")?;
        match self.receiver.subscribers.subscribe() {
            Some(inlet) => Ok(inlet.boxed()),
            None => Err(closed("subscribe")),
        }
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        self.start("publish")?;
        let max_frame = self.settings.max_frame();
        if frame.bytes.len() > max_frame {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "http",
                "publish",
                format!(
                    "a frame of {} bytes is above max_frame ({max_frame}): split it, or raise the body cap on \
                     all nodes",
                    frame.bytes.len()
                ),
            ));
        }
        self.fleet.publish(frame).await.map(Delivery::new)
    }

    async fn probe(&self) -> Result<(), Error> {
        let node = self.start("probe")?;
        tokio::select! {
            () = self.closing.cancelled() => Err(closed("probe")),
            greeted = self.greet_everybody(node) => greeted,
        }
    }

    async fn close(&self) -> Result<(), Error> {
        self.closing.cancel();
        // A listener that was never started still holds its port.
        if let Stage::Built { listener, .. } = &mut *self.stage.lock() {
            listener.take();
        }
        self.receiver.subscribers.close();
        self.tasks.close();
        if timeout(self.settings.close_grace, self.tasks.wait())
            .await
            .is_err()
        {
            self.kill.cancel();
            self.tasks.wait().await;
        }
        Ok(())
    }
}

impl Drop for HttpTransport {
    fn drop(&mut self) {
        // A mounted router may outlive this, and must not say that anybody received anything.
        self.receiver.subscribers.close();
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<_> = self
            .settings
            .peers
            .iter()
            .map(ToString::to_string)
            .collect();
        f.debug_struct("HttpTransport")
            .field("cluster", &self.settings.cluster)
            .field("local_addr", &self.local_addr)
            .field("peers", &peers)
            .field("insecure", &self.settings.credentials.is_insecure())
            .finish_non_exhaustive()
    }
}
