//! The node: one for each process and cluster.

mod applied;
mod applier;
mod attach;
mod builder;
mod changes;
mod housekeeping;
mod lane;
mod origins;
mod outbox;
mod pending;
mod poller;
mod quarantine;
mod receipt;
mod receiver;
mod registry;
mod settings;
mod shared;
mod supervise;
mod two_step;
mod unlogged;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

pub use attach::Attachment;
pub use builder::NodeBuilder;
pub use changes::{Changes, KeyText};
pub use pending::Pending;
pub use receipt::{Published, Receipt};
pub(crate) use registry::NameClaim;
pub use settings::NodeSettings;
pub(crate) use shared::Shared;
pub use two_step::{TwoStep, TwoStepError};

use self::{attach::Bounded, supervise::Tasks};
use crate::{
    cache::{CacheBuilder, CacheContext, CacheSettings},
    clock,
    error::{Error, ErrorKind},
    lease::{Lease, TargetState, cannot_back},
    target::InvalidationTarget,
    words::{CacheName, NodeId},
};

/// One process's part in a cluster: it reads the log, listens and publishes, and keeps its caches coherent.
///
/// Cheap to clone. When the last clone is dropped its tasks end and its caches go into bypass: they load,
/// and serve nothing that they hold. [`shutdown`](Self::shutdown) does the same and also drains what is
/// still to be published.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    tasks: Tasks,
    draining: CancellationToken,
    cache_defaults: CacheSettings,
    caches: HashMap<String, CacheSettings>,
}

impl Node {
    /// A node of this cluster.
    pub fn builder(cluster: impl Into<String>) -> NodeBuilder {
        NodeBuilder::new(cluster.into())
    }

    fn new(
        shared: Arc<Shared>,
        tasks: Tasks,
        draining: CancellationToken,
        cache_defaults: CacheSettings,
        caches: HashMap<String, CacheSettings>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                shared,
                tasks,
                draining,
                cache_defaults,
                caches,
            }),
        }
    }

    /// The id of this run of this node.
    pub fn id(&self) -> NodeId {
        self.inner.shared.id
    }

    /// A cache of this name, to be configured and built. What the operator set for it wins over the code.
    pub fn cache<K, V>(&self, name: &str) -> CacheBuilder<K, V>
    where
        K: crate::CacheKey + Clone + Eq + std::hash::Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let shared = self.inner.shared.clone();
        let settings = self.inner.caches.get(name).cloned().unwrap_or_default();
        let (name, error) = match CacheName::new(name) {
            Ok(name) => (name, None),
            Err(error) => (CacheName::placeholder(), Some(error)),
        };
        let publisher = shared.clone();
        let context = CacheContext {
            clock: shared.clock.clone(),
            lease: shared.lease.clone(),
            log: shared.log.as_ref().map(|log| log.capabilities()),
            settings: settings.or(&self.inner.cache_defaults),
            default_negative_ttl: self.inner.cache_defaults.negative_ttl,
            register: Box::new(move |name, target, max_staleness| {
                if let Some(error) = error {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        "node",
                        "cache",
                        error.to_string(),
                    ));
                }
                shared.check_open("cache")?;
                let registry = &shared.applier.registry;
                let claim = registry.add_cache(name, &target, max_staleness)?;
                shared.lease.nudge(); // The poll period may be shorter now.
                Ok(claim)
            }),
        };
        CacheBuilder::new(context, name).publishing(publisher)
    }

    /// Invalidations of several caches as one step.
    pub fn changes(&self) -> Changes {
        Changes::new(self.inner.shared.clone())
    }

    /// Invalidates everything in every cache of the cluster.
    ///
    /// # Errors
    /// As [`Changes::publish`].
    pub async fn invalidate_everything(&self) -> Result<Receipt, Error> {
        self.changes().everything().publish().await
    }

    /// Brings in a cache of another library: it is flushed now, and invalidations of `name` are applied to it
    /// on a thread of its own, for at most 100 ms each before the node goes on without it. A
    /// [`Fence`](crate::Fence) around its loads gives it `P5`, [`Attachment::lease`] gives it `P3` with this
    /// `max_staleness`.
    ///
    /// # Errors
    /// When the name is bad or taken, when `max_staleness` is asked of a node whose log cannot back it, or when
    /// no thread can be started.
    pub fn attach(
        &self,
        name: &str,
        target: Arc<dyn InvalidationTarget>,
        max_staleness: Option<Duration>,
    ) -> Result<Attachment, Error> {
        let refuse = |kind, message: String| Error::new(kind, "node", "attach", message);
        let shared = &self.inner.shared;
        shared.check_open("attach")?;
        let name =
            CacheName::new(name).map_err(|error| refuse(ErrorKind::Invalid, error.to_string()))?;
        if let Some(max_staleness) = max_staleness {
            let log = shared.log.as_ref().map(|log| log.capabilities());
            if let Some(why) = cannot_back(log.as_ref(), max_staleness) {
                return Err(refuse(
                    ErrorKind::Invalid,
                    format!("cache {name:?} cannot be attached: {why}"),
                ));
            }
        }
        let state = Arc::new(TargetState::default());
        let bounded = Bounded::start(name.clone(), target, state.clone()).map_err(|error| {
            refuse(
                ErrorKind::Other,
                format!("no thread for the target: {error}"),
            )
        })?;
        shared
            .applier
            .registry
            .add_attached(&name, Arc::new(bounded), max_staleness)?;
        shared.lease.nudge();
        let lease = Lease::new(
            shared.lease.clone(),
            max_staleness.unwrap_or(Duration::MAX),
            state.clone(),
        );
        Ok(Attachment::new(shared.clone(), name, lease, state))
    }

    /// The right to serve values that are at most `max_staleness` old, for caches of one's own.
    ///
    /// # Errors
    /// When the node has no log, or one whose reads may be stale: it could not back the lease.
    pub fn lease(&self, max_staleness: Duration) -> Result<Lease, Error> {
        let shared = &self.inner.shared;
        let log = shared.log.as_ref().map(|log| log.capabilities());
        if let Some(why) = cannot_back(log.as_ref(), max_staleness) {
            let message = format!("there is no such lease: {why}");
            return Err(Error::new(ErrorKind::Invalid, "node", "lease", message));
        }
        Ok(Lease::new(
            shared.lease.clone(),
            max_staleness,
            Arc::default(),
        ))
    }

    /// How long ago the last complete log read began: no cached value with a lease is staler. `None` before
    /// the first, without a log, and after the end.
    pub fn log_age(&self) -> Option<Duration> {
        if self.inner.shared.has_log() {
            self.inner.shared.lease.age()
        } else {
            None
        }
    }

    /// Ends the node: its caches go into bypass at once, what waits is published, farewell is said, the
    /// transports and the log are closed. Idempotent. Returns when all of it is done, or at the deadline,
    /// whichever comes first; no task of the node runs after that.
    ///
    /// # Errors
    /// When the deadline came first, or a backend failed to close; the rest is ended all the same.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        let deadline = clock::deadline(deadline);
        let inner = &self.inner;
        inner.shared.close();
        inner.draining.cancel();
        let mut result = Ok(());
        let mut late = |_| {
            let message = "the deadline came before everything was published and closed";
            Error::new(ErrorKind::TimedOut, "node", "shutdown", message)
        };
        if let Err(error) = timeout_at(deadline, inner.tasks.drained())
            .await
            .map_err(&mut late)
        {
            result = Err(error);
        }
        inner.tasks.cancel();
        let shared = &inner.shared;
        let close = async {
            // The receivers first: they would take the end of their transport for a lost link.
            inner.tasks.stopped().await;
            // All at once, and each whatever becomes of the others.
            let lanes = shared.lanes.iter().map(|lane| lane.transport.close());
            let mut closed = join_all(lanes).await;
            if let Some(log) = &shared.log {
                closed.push(log.close().await);
            }
            closed.into_iter().collect::<Result<(), Error>>()
        };
        match timeout_at(deadline, close).await.map_err(late) {
            Ok(Ok(())) => result,
            Ok(Err(error)) | Err(error) => Err(error),
        }
    }
}

impl Shared {
    /// Every cache goes into bypass, for good.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.lease.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
        self.tasks.cancel();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.inner.shared.id)
            .field("cluster", &self.inner.shared.cluster)
            .finish_non_exhaustive()
    }
}
