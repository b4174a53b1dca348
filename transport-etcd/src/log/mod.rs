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
mod renew;
mod ring;
mod unread;
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
    unread::Unread,
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

/// A log in etcd.
///
/// Cheap to share behind an `Arc`. All methods may be called concurrently, and every future may be dropped at any point.
///
/// # How it is kept
/// Below `/cache-invalidation/CLUSTER/log/` stand 16 *rings*, a key each, with the newest 64 entries that went to it; a key
/// `newest`, written by each append; and a key `meta`, with the log's *epoch*. An append is one transaction: it writes one ring anew,
/// if nobody else has since it was seen, and `newest`. Where somebody has, another ring is tried. Callers that append at the
/// same time share one transaction, and the entries of one append are never parted.
///
/// All appends stand in one order, that of their revisions. A cursor is the revision and the random id of the newest append
/// that was read, with how often `newest` had been written then, which the server counts (its `version`). To read on takes
/// one transaction, which the cluster reads linearizably: where `newest` is as it was, nothing but that is answered. Else it
/// gives the rings that were written since, and two things are looked at:
/// - the append that was read last is there, or its ring ends right behind it: so the past is the one that was read, whatever
///   was restored and written to since;
/// - as many appends are there as `newest` was written: so none of them was forgotten or deleted.
///
/// What fails is a gap with a name: [`Purged`](invalidation_core::GapReason::Purged) where a ring forgot,
/// [`WitnessLost`](invalidation_core::GapReason::WitnessLost) after a restore,
/// [`EntriesLost`](invalidation_core::GapReason::EntriesLost) where somebody deleted a key, and
/// [`IdentityChanged`](invalidation_core::GapReason::IdentityChanged) on another cluster, another epoch, or a log that was
/// made anew. None of it reads history, so compaction takes nothing from a reader.
///
/// # When an older state comes back
/// A reader that had read less than what came back finds all in order, and would miss what was appended between the copy and
/// the restore. So whoever knows better tells all others: a reader whose last append is gone; a handle that appended what is
/// gone, which it remembers until it has read on from there; and who had an epoch that the log does not know any more. They
/// give the log another epoch, by comparing and setting `meta`, in which the epochs before are past: as many as find the same
/// loss settle on one, and each reader flushes once. Until one of them reads, nobody is told, so the bound of `max_staleness`
/// is exceeded by that; and **what nobody alive had read or appended through a handle is not told**, nor is what rings have
/// forgotten since. Where a user may not write `meta`, or the store is full, he is told himself, and a warning says that
/// others are not.
///
/// A log whose keys were deleted, or which lost its disk, is made anew by the next read of a handle that has installed it
/// (`P20`), and every reader is told. To end a cluster, stop its nodes first.
///
/// # What it promises
/// | promise | holds | why |
/// | --- | --- | --- |
/// | what was acknowledged is kept | yes | a majority has synced it; not with `--unsafe-no-fsync`, nor when a majority loses its disks at once |
/// | reads are linearizable | yes | a member asks its leader, which asks a majority; one that cannot does not answer |
/// | a write and its invalidation are one step (`P2`) | for data in the same cluster | [`EtcdTransaction`] |
/// | the same for a database elsewhere | **weaker** | see below |
/// | a reader may fall behind | 1,024 entries | rings times entries; then it flushes, once. An append of more than 64 fills a ring alone |
/// | one append | 752 KiB | beyond that the largest entries give up their keys and clear their caches (`P11`) |
/// | entries are kept for the node's `retention` | **no** | etcd tells no time, and machines' clocks are not compared (`P17`): `purge` deletes nothing |
/// | a cursor [covers](InvalidationLog::covers) a position | of the append that was read last | what is older is denied rather than guessed: it might be of a past that was lost |
///
/// What was deleted by hand in two pasts, with a restore between them and as much in both before a reader looked, is not
/// told from what was not.
///
/// # Where the business data is elsewhere
/// There it takes two steps. A transaction with nothing of its own appends, after the commit and within the future that a
/// [`Pending`](invalidation_core::Pending) awaits, so that this node keeps no load of the keys meanwhile:
///
/// ```text
/// let mut append = EtcdTransaction::new();
/// let pending = node.changes().keys(&users, [&42]).log_in(&mut append).await?;
/// pending.commit(async { tx.commit().await?; append.commit(&etcd).await?; Ok::<_, BoxError>(()) }).await?;
/// ```
///
/// That is weaker than `P2`: a process that dies between the two steps leaves the other nodes with the old value until its
/// TTL. When the second step fails, the entries are applied here and published as claimed, which reaches the nodes that a
/// transport reaches.
///
/// # What the operator sets
/// - Auto-compaction (`--auto-compaction-retention`): each append writes a ring anew, and the store keeps every earlier one
///   until it compacts. [`purge`](InvalidationLog::purge), which a node calls now and then, warns where it does not.
/// - Authentication, with a role for this prefix, and `--auth-token jwt`, or know this: a simple token of before a restore is
///   waited for by the restored member, so that the first call of each handle ends with its timeout.
/// - A full store ([`ReadOnly`](invalidation_core::ErrorKind::ReadOnly)) is still read.
/// - A restored store needs nothing more: see above. One with another cluster id (`--initial-cluster-token`) is told by that
///   alone to every reader that was on the one before. Do not go back to that one's disk: whoever slept meanwhile would
///   take it for what he left, and is not told of what was appended to the other.
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
    pub(crate) unread: Unread,
    /// Whether this handle has installed it, so that it may do so again.
    is_installed: AtomicBool,
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
            unread: Unread::default(),
            is_installed: AtomicBool::new(false),
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

    /// This is not there any more.
    fn unlearn(&self, old: &Known) {
        let mut known = self.known.write();
        if *known == Some(*old) {
            *known = None;
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
        self.shared.is_installed.store(true, Ordering::Release);
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
