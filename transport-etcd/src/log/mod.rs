//! The log: a few rings, each a key of its own.

mod answer;
mod append;
mod builder;
mod cursor;
mod entry;
mod history;
mod install;
mod join;
mod keys;
mod meta;
mod packed;
mod page;
mod read;
mod ring;
mod write;

use std::{
    any::Any,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use etcd_client::{Txn, TxnResponse};
use invalidation_core::{
    Cursor, Entry, Error, InvalidationLog, LogCapabilities, LogIdentity, Page, Position, Purged,
    ReadConsistency, ReadRequest,
};
use parking_lot::RwLock;
use tokio::time::timeout;

use self::{
    answer::{Answer, Known, look},
    append::Appender,
    builder::Settings,
    cursor::Mark,
    history::History,
    keys::Keys,
    write::Target,
};
pub use self::{
    builder::EtcdLogBuilder,
    join::{Committed, EtcdTransaction, NotCommitted},
};
use crate::{
    error::{BACKEND, Failure, closed, timed_out},
    server::Link,
};

/// A log in etcd. See the [crate's docs](crate).
///
/// Cheap to share behind an `Arc`. All methods may be called concurrently, and every future may be dropped at any point.
#[derive(Debug)]
pub struct EtcdLog {
    shared: Arc<Shared>,
    appender: Appender,
}

/// What the log and its append task have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) keys: Keys,
    link: Link,
    /// What was seen last.
    known: RwLock<Option<Known>>,
    history: History,
    closed: AtomicBool,
}

impl EtcdLog {
    /// How to open the log on the cluster of a URL, `etcd://USER:PASSWORD@HOST:PORT,HOST:PORT`, with `etcds://` for TLS.
    pub fn builder(url: &str) -> EtcdLogBuilder {
        EtcdLogBuilder::of_url(url)
    }

    fn start(settings: Settings, keys: Keys, link: Link) -> Self {
        let shared = Arc::new(Shared {
            settings,
            keys,
            link,
            known: RwLock::new(None),
            history: History::default(),
            closed: AtomicBool::new(false),
        });
        Self {
            appender: Appender::start(shared.clone()),
            shared,
        }
    }

    /// Connects.
    async fn reach(&self) -> Result<(), Error> {
        let shared = &self.shared;
        bounded("connect", shared.limit(), shared.link.session("connect"))
            .await
            .map(|_| ())
    }

    /// What was seen last, or is there now.
    async fn current(&self, operation: &'static str) -> Result<Known, Error> {
        self.shared.check_open(operation)?;
        match self.shared.known() {
            Some(known) => Ok(known),
            None => {
                let limit = self.shared.settings.write_timeout;
                self.shared.look(operation, limit).await
            }
        }
    }
}

impl Shared {
    /// One transaction, within its time.
    ///
    /// One that was refused because its token had expired, or its member was started again and remembers none, has done
    /// nothing, and is made with another token.
    async fn txn(
        &self,
        operation: &'static str,
        limit: Duration,
        txn: Txn,
    ) -> Result<TxnResponse, Error> {
        match self.send(operation, limit, txn.clone()).await {
            Err(refused) if has_expired(&refused) => self.send(operation, limit, txn).await,
            sent => sent,
        }
    }

    /// A connection may take longer to be made than a read may.
    async fn send(
        &self,
        operation: &'static str,
        limit: Duration,
        txn: Txn,
    ) -> Result<TxnResponse, Error> {
        bounded(operation, self.limit(), self.link.session(operation)).await?;
        self.link
            .call(operation, limit, |session| async move {
                session.kv().txn(txn).await
            })
            .await
    }

    fn known(&self) -> Option<Known> {
        *self.known.read()
    }

    fn learn(&self, known: Known) {
        if self.known() != Some(known) {
            *self.known.write() = Some(known);
        }
    }

    /// Which log it is.
    async fn look(&self, operation: &'static str, limit: Duration) -> Result<Known, Error> {
        let txn = Txn::new().and_then(look(&self.keys));
        let response = self.txn(operation, limit, txn).await?;
        let (known, _) = Answer::of(operation, &self.keys, &response)?.known(operation)?;
        self.learn(known);
        Ok(known)
    }

    /// The ring of this number, to be written to.
    async fn target(
        &self,
        operation: &'static str,
        limit: Duration,
        number: u32,
    ) -> Result<Target, Error> {
        let txn = Txn::new().and_then(Target::look_elsewhere(&self.keys, number));
        let response = self.txn(operation, limit, txn).await?;
        let mut answer = Answer::of(operation, &self.keys, &response)?;
        let target = Target::in_answer(operation, &mut answer, number)?;
        self.learn(*target.known());
        Ok(target)
    }

    fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed(operation));
        }
        Ok(())
    }

    /// What any call may take: a connection may have to be made first.
    fn limit(&self) -> Duration {
        self.settings.read_timeout.max(self.settings.write_timeout)
    }
}

/// Whether the server did not take the token. The session that had it is forgotten then.
fn has_expired(error: &Error) -> bool {
    let source = error.source.as_deref();
    source
        .and_then(|source| source.downcast_ref())
        .is_some_and(|source| Failure::of(source) == Failure::TokenExpired)
}

async fn bounded<T>(
    operation: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(timed_out(operation, limit)),
    }
}

#[async_trait]
impl InvalidationLog for EtcdLog {
    fn capabilities(&self) -> LogCapabilities {
        let mut capabilities = LogCapabilities::new(BACKEND);
        // For business data in the same cluster: see EtcdTransaction.
        capabilities.transactional = true;
        capabilities.reads = ReadConsistency::Linearizable;
        // A majority of the members has synced it before it is acknowledged, unless they run with --unsafe-no-fsync.
        capabilities.keeps_acknowledged = true;
        capabilities.shared_across_hosts = true;
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        self.shared.check_open("install")?;
        let known = install::install(&self.shared).await?;
        self.shared.learn(known);
        Ok(())
    }

    async fn head(&self) -> Result<Cursor, Error> {
        const OPERATION: &str = "head";
        self.shared.check_open(OPERATION)?;
        let limit = self.shared.settings.write_timeout;
        let mark = read::head(&self.shared, OPERATION, limit).await?;
        Ok(mark.to_cursor())
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.shared.check_open("append")?;
        self.appender.append(entries).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        self.shared.check_open("read")?;
        read::page(&self.shared, &request).await
    }

    fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        Mark::from_cursor(cursor).is_some_and(|mark| mark.covers(position))
    }

    /// Deletes nothing: a ring forgets by itself, when newer entries need the room. Looks instead whether the cluster
    /// compacts its history, in which every earlier state of every ring is kept until then, and warns where it does not.
    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.shared.check_open("purge")?;
        history::look(&self.shared, retention).await?;
        Ok(Purged::new(0))
    }

    fn identity(&self) -> Option<LogIdentity> {
        self.shared.known().map(|known| known.identity.to_word())
    }

    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.closed.store(true, Ordering::Release);
        self.appender.close();
        self.shared.link.close().await;
        Ok(())
    }
}

/// The appender's task ends by itself, and what is under way is not waited for.
impl Drop for EtcdLog {
    fn drop(&mut self) {
        self.appender.close();
    }
}
