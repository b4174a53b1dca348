//! Trials on servers of their own, and a reader.

use std::{
    num::NonZeroUsize,
    process::Command,
    time::{Duration, Instant},
};

use invalidation_core::{
    CacheName, Completeness, Cursor, Entry, GapReason, Invalidation, InvalidationLog as _, Page,
    Payload, ReadRequest, ReadStart, Scope, Tick,
};
use invalidation_testbed::{Backend, Error, Offer, Required, Server};
use invalidation_transport_nats::{NatsLog, NatsLogBuilder};
use libtest_mimic::{Completion, Trial};
use tokio::runtime::Builder;

use crate::jetstream::{Operator, PASSWORD, USER, url};

pub(crate) const CLUSTER: &str = "billing";
/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A trial on a server of its own with JetStream.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &'static str,
    body: impl FnOnce(Server) -> F + Send + 'static,
) -> Trial {
    trial_of(name, start, body)
}

fn start() -> Result<Server, Error> {
    Server::start_with(Backend::Nats, &["--user", USER, "--pass", PASSWORD])
}

/// A trial on what is started like this.
pub(crate) fn trial_of<S, F: Future<Output = ()>>(
    name: &'static str,
    start: impl FnOnce() -> Result<S, Error> + Send + 'static,
    body: impl FnOnce(S) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        match Required::from_env()?.decide(start())? {
            Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
            Offer::Here(started) => {
                let runtime = Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()?;
                runtime.block_on(body(started));
                Ok(Completion::Completed)
            }
        }
    })
}

pub(crate) fn builder(server: &Server) -> NatsLogBuilder {
    NatsLog::builder(&url(server.address(), USER, PASSWORD))
        .cluster(CLUSTER)
        .read_timeout(Duration::from_secs(6))
        .write_timeout(Duration::from_secs(6))
}

/// A log of its own, installed.
pub(crate) async fn node(server: &Server) -> NatsLog {
    installed(builder(server)).await
}

pub(crate) async fn installed(builder: NatsLogBuilder) -> NatsLog {
    let log = builder.connect().await.unwrap();
    log.install().await.unwrap();
    log
}

pub(crate) async fn operator(server: &Server) -> Operator {
    Operator::at(server.address(), CLUSTER).await
}

pub(crate) fn key(key: impl Into<String>) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: CacheName::new("users").unwrap(),
        scope: Scope::keys([key.into()]),
    })
}

/// Appends each on its own.
pub(crate) async fn append(log: &NatsLog, keys: &[&str]) -> Vec<Entry> {
    let entries: Vec<_> = keys.iter().map(|text| key(*text)).collect();
    for entry in &entries {
        log.append(std::slice::from_ref(entry)).await.unwrap();
    }
    entries
}

/// A node's place in the log.
pub(crate) struct Reader {
    pub(crate) cursor: Cursor,
    reads: u64,
    page: Option<NonZeroUsize>,
}

impl Reader {
    pub(crate) async fn at_head(log: &NatsLog) -> Self {
        Self::at(log.head().await.unwrap())
    }

    pub(crate) const fn at(cursor: Cursor) -> Self {
        Self {
            cursor,
            reads: 0,
            page: None,
        }
    }

    /// Reads pages of at most so many entries.
    pub(crate) const fn paged(mut self, entries: NonZeroUsize) -> Self {
        self.page = Some(entries);
        self
    }

    pub(crate) async fn page(&mut self, log: &NatsLog) -> Page {
        self.reads += 1;
        let start = ReadStart::new(Tick::from_nanos(self.reads), self.reads);
        let mut request = ReadRequest::new(&self.cursor, start);
        if let Some(most) = self.page {
            request.max_entries = most.get();
        }
        let page = log.read(request).await;
        page.unwrap()
    }

    /// Reads to the end, or until the cursor expires.
    pub(crate) async fn catch_up(&mut self, log: &NatsLog) -> Result<Vec<Entry>, GapReason> {
        let mut all = Vec::new();
        loop {
            match self.page(log).await {
                Page::Entries {
                    entries,
                    next,
                    complete,
                } => {
                    self.cursor = next;
                    all.extend(entries.into_iter().map(|logged| match logged.payload {
                        Payload::Entry(entry) => entry,
                        other => panic!("{other:?}"),
                    }));
                    if matches!(complete, Completeness::AsOf(_)) {
                        return Ok(all);
                    }
                }
                Page::Expired { next, reason, .. } => {
                    self.cursor = next;
                    return Err(reason);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Copies one of the server's folders to another.
pub(crate) fn copy(server: &Server, from: &str, to: &str) {
    let folder = server.folder();
    let copied = Command::new("cp")
        .arg("-a")
        .args([folder.join(from), folder.join(to)])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Asks until it comes true.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
