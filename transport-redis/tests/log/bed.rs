//! Servers, logs and reads.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use invalidation_core::{
    Completeness, Cursor, Entry, Error, GapReason, Invalidation, InvalidationLog as _, Page,
    Payload, ReadRequest, ReadStart, Retry, Scope, Tick,
};
use invalidation_testbed::{Backend, Error as Broken, Offer, Required, Server};
use invalidation_transport_redis::{RedisLog, RedisLogBuilder};
use libtest_mimic::{Completion, Trial};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use tokio::time::Instant;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A trial on what `start` gives.
pub(crate) fn trial<S, F>(
    name: &'static str,
    start: impl FnOnce() -> Result<S, Broken> + Send + 'static,
    body: impl FnOnce(S) -> F + Send + 'static,
) -> Trial
where
    S: 'static,
    F: Future<Output = ()>,
{
    Trial::ignorable_test(name, || match Required::from_env()?.decide(start())? {
        Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
        Offer::Here(server) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(body(server));
            Ok(Completion::Completed)
        }
    })
}

/// A Redis of the trial's own.
pub(crate) fn own() -> Result<Server, Broken> {
    Server::start(Backend::Redis)
}

/// The Redis that all trials share.
pub(crate) fn shared() -> Result<&'static Server, Broken> {
    invalidation_testbed::shared(Backend::Redis)
}

/// The name of a cluster of the trial's own.
pub(crate) fn cluster() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("trial-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A log with timeouts for a busy machine.
pub(crate) fn builder(to: SocketAddr, cluster: &str) -> RedisLogBuilder {
    RedisLog::builder(&format!("redis://{to}"))
        .cluster(cluster)
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
}

/// A handle of a node, installed.
pub(crate) async fn node(to: SocketAddr, cluster: &str) -> RedisLog {
    let log = builder(to, cluster).connect().await.unwrap();
    log.install().await.unwrap();
    log
}

/// An invalidation of one key.
pub(crate) fn key(key: impl Into<String>) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: "users".parse().unwrap(),
        scope: Scope::keys([key.into()]),
    })
}

/// Appends one entry for each of these keys, one after the other.
pub(crate) async fn append(log: &RedisLog, keys: &[&str]) {
    for text in keys {
        log.append(&[key(*text)]).await.unwrap();
    }
}

/// Where a node has read to.
pub(crate) struct Reader<'a> {
    pub(crate) log: &'a RedisLog,
    pub(crate) cursor: Cursor,
}

impl<'a> Reader<'a> {
    pub(crate) async fn cold(log: &'a RedisLog) -> Self {
        Self {
            log,
            cursor: log.head().await.unwrap(),
        }
    }

    /// The keys behind the cursor, or why there is a gap.
    pub(crate) async fn read(&mut self) -> Result<Vec<String>, GapReason> {
        let (mut keys, began) = (Vec::new(), Instant::now());
        loop {
            let after = self.cursor.clone();
            let page = match self.log.read(request(&after)).await {
                Ok(page) => page,
                Err(e) if e.retry == Retry::Temporary && began.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
                Err(e) => panic!("expected a read to succeed: {e:?}"),
            };
            match page {
                Page::Entries {
                    entries,
                    next,
                    complete,
                } => {
                    keys.extend(entries.into_iter().map(|entry| text(&entry.payload)));
                    self.cursor = next;
                    if complete != Completeness::Partial {
                        return Ok(keys);
                    }
                }
                Page::Expired { next, reason, .. } => {
                    self.cursor = next;
                    return Err(reason);
                }
                other => panic!("expected a page: {other:?}"),
            }
        }
    }

    /// After a gap: it is told once, and what comes then is read.
    pub(crate) async fn goes_on(&mut self) {
        assert_eq!(self.read().await, Ok(Vec::new()));
        append(self.log, &["goes on"]).await;
        assert_eq!(self.read().await, Ok(vec!["goes on".to_owned()]));
    }
}

/// A read on from there.
pub(crate) fn request(after: &Cursor) -> ReadRequest<'_> {
    ReadRequest::new(after, ReadStart::new(Tick::from_nanos(1), 1))
}

fn text(payload: &Payload) -> String {
    match payload {
        Payload::Entry(Entry {
            invalidation:
                Invalidation::Cache {
                    scope: Scope::Keys(keys),
                    ..
                },
            ..
        }) => keys.join(","),
        other => format!("{other:?}"),
    }
}

pub(crate) async fn connection(to: SocketAddr) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://{to}")).unwrap();
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

/// Runs a command as the administrator.
pub(crate) async fn run<T: FromRedisValue>(to: SocketAddr, command: &[&str]) -> T {
    let mut all = redis::cmd(command[0]);
    all.arg(&command[1..]);
    let answer = all.query_async(&mut connection(to).await).await;
    answer.unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// What `ask` gives, once it gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        let late = began.elapsed() > PATIENCE;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(!late, "it never came true within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Appends until it is taken.
pub(crate) async fn appends_again(log: &RedisLog) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        match log.append(&[key("again")]).await {
            Err(e) if e.retry == Retry::Temporary && began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => return answer.map(drop),
        }
    }
}
