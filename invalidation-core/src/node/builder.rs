//! How a node comes to life.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    Node,
    applier::Applier,
    housekeeping::{Janitor, Purger},
    lane::{Lane, Publisher},
    outbox::Outbox,
    poller::{Poller, timed},
    receiver::Receiver,
    settings::NodeSettings,
    shared::Shared,
    supervise::Tasks,
    unlogged::{self, Logger},
};
use crate::{
    cache::CacheSettings,
    clock::NodeClock,
    error::{Error, ErrorKind, Retry},
    frame::MIN_FRAME,
    lease::LeaseState,
    log::{InvalidationLog, ReadStart, SharedLog},
    observe,
    transport::{CacheInvalidationTransport, SharedTransport, Subscription},
    words::{ClusterName, Cursor, NodeId},
};

/// What a node is made of. Nothing fails before [`start`](Self::start).
#[derive(Debug)]
#[must_use = "nothing happens until `start`"]
pub struct NodeBuilder {
    cluster: String,
    settings: NodeSettings,
    clock: NodeClock,
    log: Option<SharedLog>,
    transports: Vec<SharedTransport>,
    pub(super) cache_defaults: CacheSettings,
    pub(super) caches: HashMap<String, CacheSettings>,
}

impl NodeBuilder {
    pub(super) fn new(cluster: String) -> Self {
        Self {
            cluster,
            settings: NodeSettings::default(),
            clock: NodeClock::Coarse,
            log: None,
            transports: Vec::new(),
            cache_defaults: CacheSettings::default(),
            caches: HashMap::new(),
        }
    }

    /// The log. Without one, only TTLs bound staleness, and a gap is a flush.
    pub fn log(self, log: impl InvalidationLog) -> Self {
        self.shared_log(Arc::new(log))
    }

    /// The log, shared with somebody.
    pub fn shared_log(mut self, log: SharedLog) -> Self {
        self.log = Some(log);
        self
    }

    /// One more transport. Any number works, also none (`P15`).
    pub fn transport(self, transport: impl CacheInvalidationTransport) -> Self {
        self.shared_transport(Arc::new(transport))
    }

    /// One more transport, shared with somebody.
    pub fn shared_transport(mut self, transport: SharedTransport) -> Self {
        self.transports.push(transport);
        self
    }

    /// All settings at once.
    pub fn settings(mut self, settings: NodeSettings) -> Self {
        self.settings = settings;
        self
    }

    /// How often the log is read. Default 500 ms. A shorter interval than 500 ms brings
    /// [`NodeSettings::read_timeout`] down to four fifths of it.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self.settings.read_timeout = self.settings.read_timeout.min(interval.mul_f64(0.8));
        self
    }

    /// How long log entries are kept. Default 1 h.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention = retention;
        self
    }

    /// Start although the log cannot be reached: caches are bypassed until it can.
    pub fn start_in_bypass(mut self) -> Self {
        self.settings.start_in_bypass = true;
        self
    }

    /// The clock of leases and TTLs. Default [`NodeClock::Coarse`].
    pub fn clock(mut self, clock: NodeClock) -> Self {
        self.clock = clock;
        self
    }

    /// What the operator sets for every cache.
    pub fn cache_defaults(mut self, settings: CacheSettings) -> Self {
        self.cache_defaults = settings;
        self
    }

    /// What the operator sets for one cache; over the defaults.
    pub fn cache_settings(mut self, cache: impl Into<String>, settings: CacheSettings) -> Self {
        self.caches.insert(cache.into(), settings);
        self
    }

    /// Installs and reads the log's head, subscribes to every transport, and starts the tasks.
    ///
    /// Cancel-safe: nothing runs before it returns.
    ///
    /// # Errors
    /// A bad name or setting; a log that cannot be reached, unless [`start_in_bypass`](Self::start_in_bypass)
    /// was asked for; a transport that fails for good (an address in use, wrong credentials). One that is
    /// merely away is tried again in the background, since the log covers for it (`P15`).
    pub async fn start(self) -> Result<Node, Error> {
        self.settings.check()?;
        let cluster = ClusterName::new(&self.cluster)
            .map_err(|error| Error::new(ErrorKind::Invalid, "node", "start", error.to_string()))?;
        let (id, settings) = (NodeId::random(), self.settings);
        // Enough for the read in flight and the next.
        let lease = LeaseState::new(self.clock.clone(), 2 * settings.read_timeout);
        let cursor = match &self.log {
            Some(log) => first_cursor(log, &settings, &lease).await?,
            None => {
                // Open, with nothing to renew: caches without `max_staleness` ask no more.
                lease.renew(ReadStart::new(self.clock.now(), 0));
                None
            }
        };
        let draining = CancellationToken::new();
        let mut lanes = Vec::new();
        let mut first = Vec::new();
        for transport in self.transports {
            check_frame(&transport)?;
            if let Some(members) = self.log.as_ref().and_then(|log| log.members()) {
                transport.meet(&members);
            }
            transport.bind(id);
            first.push(subscribe(&transport, settings.start_timeout).await?);
            lanes.push(Arc::new(Lane {
                name: transport.capabilities().name,
                outbox: Outbox::new(settings.outbox_items),
                transport,
                draining: draining.clone(),
            }));
        }
        let (unlogged, arrivals) = unlogged::channel();
        let shared = Arc::new(Shared {
            id,
            cluster,
            applier: Applier::new(
                self.clock.clone(),
                self.log.is_some(),
                settings.remembered_entries,
            ),
            settings,
            clock: self.clock,
            lease,
            log: self.log,
            lanes,
            unlogged,
            closed: AtomicBool::new(false),
            lapsed: AtomicBool::new(false),
        });
        let tasks = Tasks::default();
        for (lane, first) in shared.lanes.iter().zip(first) {
            tasks.spawn(Receiver::new(shared.clone(), lane.clone(), first));
            tasks.spawn_draining(Publisher::new(shared.clone(), lane.clone()));
        }
        if let Some(log) = &shared.log {
            tasks.spawn(Poller::new(shared.clone(), log.clone(), cursor));
            tasks.spawn(Purger {
                shared: shared.clone(),
                log: log.clone(),
            });
            tasks.spawn_draining(Logger::new(
                shared.clone(),
                log.clone(),
                arrivals,
                draining.clone(),
            ));
        }
        tasks.spawn(Janitor {
            shared: shared.clone(),
        });
        tracing::info!(node = %id, cluster = %shared.cluster, "node started");
        Ok(Node::new(
            shared,
            tasks,
            draining,
            self.cache_defaults,
            self.caches,
        ))
    }
}

/// The cursor is taken before the first entry can be cached (`P14`), and its start opens the lease.
async fn first_cursor(
    log: &SharedLog,
    settings: &NodeSettings,
    lease: &LeaseState,
) -> Result<Option<Cursor>, Error> {
    let contact = async {
        log.install().await?;
        let started = lease.begin_read();
        let head = log.head().await?;
        lease.renew(started);
        Ok(Some(head))
    };
    match timed(settings.start_timeout, "start", contact).await {
        Err(error) if settings.start_in_bypass && error.retry == Retry::Temporary => {
            tracing::warn!(%error, "started in bypass: nothing is cached until the log can be read");
            Ok(None)
        }
        result => result,
    }
}

/// A transport whose frames are too small for any invalidation is of no use.
fn check_frame(transport: &SharedTransport) -> Result<(), Error> {
    let capabilities = transport.capabilities();
    if capabilities.max_frame >= MIN_FRAME {
        return Ok(());
    }
    let message = format!(
        "the transport {:?} carries frames of {} bytes, and an invalidation may need {MIN_FRAME}: raise its limit",
        capabilities.name, capabilities.max_frame
    );
    Err(Error::new(ErrorKind::Invalid, "node", "start", message))
}

/// `None` when the transport is merely away.
async fn subscribe(
    transport: &SharedTransport,
    limit: Duration,
) -> Result<Option<Subscription>, Error> {
    let name = transport.capabilities().name;
    match timeout(limit, transport.subscribe()).await {
        Ok(Ok(subscription)) => {
            observe::subscription(name, "subscribed");
            Ok(Some(subscription))
        }
        Ok(Err(error)) if error.retry == Retry::Permanent => Err(error),
        failed => {
            observe::subscription(name, "failed");
            let error = match failed {
                Ok(result) => result.err().map(|error| error.to_string()),
                Err(_) => Some(format!("no answer within {limit:?}")),
            };
            tracing::warn!(
                transport = name,
                error,
                "not subscribed at start; trying again in the background"
            );
            Ok(None)
        }
    }
}
