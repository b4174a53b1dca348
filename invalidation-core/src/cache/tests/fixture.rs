//! A node's part of a cache, made by hand.

use std::{
    borrow::Cow,
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    CacheKey, CacheName, KeyError, LogCapabilities, ReadConsistency, Scope,
    cache::{Cache, CacheBuilder, CacheContext, CacheSettings, LoadError},
    clock::{Clock, ManualClock, NodeClock},
    lease::LeaseState,
    node::NameClaim,
    target::InvalidationTarget,
};

/// A key for these tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) i64);

impl CacheKey for Id {
    fn to_text(&self) -> Cow<'_, str> {
        self.0.to_string().into()
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        text.parse()
            .map(Self)
            .map_err(|_| KeyError::new::<Self>(text))
    }
}

/// What a node gives its caches.
pub(super) struct Fixture {
    pub(super) clock: Arc<ManualClock>,
    pub(super) lease: Arc<LeaseState>,
    pub(super) log: Option<LogCapabilities>,
    pub(super) settings: CacheSettings,
}

impl Fixture {
    /// A node that has started, with a log whose reads are linearizable.
    pub(super) fn new() -> Self {
        let fixture = Self::not_started();
        fixture.read_log();
        fixture
    }

    pub(super) fn not_started() -> Self {
        let clock = ManualClock::new();
        let custom = NodeClock::Custom(Arc::clone(&clock) as Arc<dyn Clock>);
        let mut log = LogCapabilities::new("test");
        log.reads = ReadConsistency::Linearizable;
        Self {
            clock,
            lease: LeaseState::new(custom, Duration::from_secs(1)),
            log: Some(log),
            settings: CacheSettings::default(),
        }
    }

    /// One complete log read, that found nothing.
    pub(super) fn read_log(&self) {
        self.lease.renew(self.lease.begin_read());
    }

    /// The log cannot be read: nobody waits for it.
    pub(super) fn log_goes_down(&self) {
        self.lease.read_failed();
        self.lease.read_failed();
    }

    pub(super) fn builder<V: Clone + Send + Sync + 'static>(&self) -> CacheBuilder<Id, V> {
        let context = CacheContext {
            clock: NodeClock::Custom(Arc::clone(&self.clock) as Arc<dyn Clock>),
            lease: Arc::clone(&self.lease),
            log: self.log.clone(),
            settings: self.settings.clone(),
            default_negative_ttl: None,
            register: Box::new(|_, _, _| Ok(NameClaim::default())),
        };
        CacheBuilder::new(context, CacheName::new("users").unwrap()).ttl_jitter(0.0)
    }

    /// A cache with a TTL of 60 s.
    pub(super) fn cache(&self) -> Cache<Id, i64> {
        self.builder().build().unwrap()
    }
}

/// Loads `value` at once.
pub(super) async fn fill(cache: &Cache<Id, i64>, key: i64, value: i64) -> i64 {
    cache
        .get_or_load(&Id(key), || async move { Ok::<_, Infallible>(value) })
        .await
        .unwrap()
}

pub(super) fn drop_key<V: Clone + Send + Sync + 'static>(cache: &Cache<Id, V>, key: i64) {
    cache
        .inner()
        .apply(&Scope::keys([key.to_string()]))
        .unwrap();
}

pub(super) fn drop_tag<V: Clone + Send + Sync + 'static>(cache: &Cache<Id, V>, tag: &str) {
    cache.inner().apply(&Scope::tags([tag])).unwrap();
}

pub(super) fn flush<V: Clone + Send + Sync + 'static>(cache: &Cache<Id, V>) {
    cache.inner().flush();
}

/// A loader that says when it began, and ends when it is told.
#[derive(Debug, Default)]
pub(super) struct Gate {
    begun: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
    open: Notify,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) async fn pass<T>(&self, value: T) -> Result<T, Infallible> {
        struct Running<'a>(&'a Gate);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.running.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let open = self.open.notified();
        tokio::pin!(open);
        open.as_mut().enable();
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(self);
        self.most.fetch_max(running, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
        open.await;
        Ok(value)
    }

    /// Lets all that run now end.
    pub(super) fn open(&self) {
        self.open.notify_waiters();
    }

    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// The most that ever ran at once.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Runs everything else until it can go no further.
pub(super) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A read in a task of its own, by a loader that waits at `gate`.
pub(super) fn read(
    cache: &Cache<Id, i64>,
    key: i64,
    gate: &Arc<Gate>,
    value: i64,
) -> tokio::task::JoinHandle<Result<i64, LoadError>> {
    let (cache, gate) = (cache.clone(), Arc::clone(gate));
    tokio::spawn(async move {
        cache
            .get_or_load(&Id(key), || async { gate.pass(value).await })
            .await
    })
}

/// What `future` comes to; it must not wait.
pub(super) fn now_or_panic<F: Future>(future: F) -> F::Output {
    match futures_util::FutureExt::now_or_never(future) {
        Some(output) => output,
        None => panic!("it waits"),
    }
}
