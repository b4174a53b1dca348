//! The log itself.

mod ages;
mod api;
mod append;
mod builder;
mod connection;
mod cursor;
mod failure;
mod fleet;
mod install;
mod moment;
mod opening;
mod passed;
mod place;
mod purge;
mod read;
mod record;
mod stream;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_core::{
    Cursor, Entry, Error, InvalidationLog, LogCapabilities, LogIdentity, Page, Position, Purged,
    ReadConsistency, ReadRequest,
};
use parking_lot::RwLock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::{
    ages::Ages,
    api::{Api, Info},
    append::Appender,
    builder::Settings,
    connection::{Connection, Session, closed},
    cursor::Identity,
    fleet::Apart,
    passed::Passed,
    place::Place,
};
pub use self::{
    builder::NatsLogBuilder,
    stream::{Storage, StreamSettings, WhenFull},
};
use crate::{
    error::{BACKEND, timed_out},
    server::Server,
};

/// A log in a stream of JetStream.
///
/// Cheap to share behind an `Arc`. All methods may be called concurrently, and every future may be dropped at any point. It
/// holds two connections of its own: one reads, one writes. It makes no consumer: a reader's place is in its cursor alone.
///
/// # What is stored
/// One message holds the entries of one append, or those of several that came at the same time: JetStream stores a message
/// as a whole or not at all, and before 2.12 has nothing by which several messages would be one step. So an append of several
/// entries is one message too, and concurrent callers share one publish and one acknowledgement. An entry's place is the
/// message's sequence and its number within it; a cursor lies behind a message, or within one.
///
/// A stream begins with a message that holds no entry, written by whoever installs it, or takes a cursor from it when it has
/// been emptied: so each cursor lies behind a message. Who may not publish does without.
///
/// # How nothing is missed
/// The server accepts any start sequence, and skips what is gone without a word. So each message is asked for by its own
/// sequence, up to the last one that the stream's leader told after the read began, and a sequence at which there is none is a
/// gap: [`Purged`](invalidation_core::GapReason::Purged) below the stream's first sequence, which is the purge's floor, and
/// [`EntriesLost`](invalidation_core::GapReason::EntriesLost) above it, where only somebody's hand deletes.
///
/// A cursor holds the stream's name and time of creation, and the sequence, fingerprint and time of the newest message that was
/// read. A stream that was deleted and made anew has another time of creation
/// ([`IdentityChanged`](invalidation_core::GapReason::IdentityChanged)). One that was restored, or that lost its tail in a
/// crash, keeps it, and uses its sequence numbers again: then another message stands at the cursor's sequence, or none
/// ([`WitnessLost`](invalidation_core::GapReason::WitnessLost)). What no log can tell is a restore to a state at or after the
/// cursor, that is one which took back only what this reader had not read yet. A cursor right below the first sequence, whose
/// message was purged or forgotten, is believed by its numbers, and so is one of an empty stream to which its user may not
/// publish.
///
/// Servers that are not one cluster have a stream each. Nodes that write to one, while others read from the other, would not hear
/// of each other; so each server of the URL is asked for the stream when the log is installed and at every purge, and each new
/// connection for writing is compared with the one for reading. While two of them differ, reads and appends fail
/// ([`ErrorKind::Unavailable`](invalidation_core::ErrorKind::Unavailable), and
/// [`Retry::Permanent`](invalidation_core::Retry::Permanent)). A server that could not be asked is found apart at the next purge;
/// one that the URL of a node does not name, never.
///
/// (An edit of the stream gives it a new time of creation with the server's next start, as of 2.9: nodes then flush once.)
///
/// # What it promises
/// | | one replica | several |
/// | --- | --- | --- |
/// | reads | [`SinglePrimary`](ReadConsistency::SinglePrimary): the one copy is read, and answers for itself | [`MayBeStale`](ReadConsistency::MayBeStale): a leader that is cut off from the others goes on answering until it notices, after some ten seconds, and no read can tell. So this log cannot back `max_staleness` |
/// | a process is killed | nothing acknowledged is lost; but with `persist_mode: async` (2.12), or storage in memory, as when a machine crashes | nothing; in memory, as long as it is a minority |
/// | a machine crashes | what was acknowledged since the last sync, two minutes by default, **may be lost**. Who had read it is told; who had not cannot be | nothing, as long as it is a minority |
/// | all machines lose power | as above | as above |
/// | `keeps_acknowledged` | no; with file storage and [`syncs_always`](NatsLogBuilder::syncs_always) yes | the same |
/// | the server is lost | no appends and no reads, until it or a copy is back | another takes over |
///
/// It is **not transactional**: an entry cannot commit together with a row of a business database. Write the row, commit, and
/// then invalidate. What lies between the two is the weaker promise: a process that dies there leaves other nodes with the old
/// row until it expires (`ttl`), or longer with none. Where that is too long, keep the log in the business database.
///
/// # What the server forgets
/// Nodes purge what is older than their retention, never the newest message. Age is told by the server's own timestamps of two
/// messages, or by how long ago this process saw a message; never by two clocks. The stream's limits (`max_age`,
/// `max_messages`, `max_bytes`) are for emergencies: what they remove is told in the same way, and flushes who was behind.
///
/// # What it needs
/// NATS 2.9 or later with JetStream, and for its user the right to subscribe to `_INBOX.>`, and to publish to its subject, and to
/// `$JS.API.STREAM.CREATE.STREAM`, `….INFO.STREAM`, `….MSG.GET.STREAM` and `….PURGE.STREAM`. A stream may be made by hand
/// instead, with the subject, the retention `limits`, and the description `cache-invalidation log, version 1`.
///
/// A stream that is deleted, or goes with a server's memory, is made anew by the next read of a node that has installed it, and
/// every node is told. To end a cluster, stop its nodes first.
///
/// One append is at most 1 MiB, or the server's `max_payload` if that is less.
#[derive(Debug)]
pub struct NatsLog {
    shared: Arc<Shared>,
    appender: Appender,
}

/// What the log and its append task have in common.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    api: Api,
    reader: Connection,
    writer: Connection,
    /// The identity that was seen last, for those who cannot wait.
    known: RwLock<Option<Identity>>,
    /// Whether this handle has installed it.
    is_installed: AtomicBool,
    passed: Passed,
    ages: Ages,
    apart: Apart,
    closing: CancellationToken,
}

impl NatsLog {
    /// How to open the log on the servers of a URL, `nats://HOST:PORT,HOST:PORT` or `tls://…`.
    pub fn builder(url: &str) -> NatsLogBuilder {
        NatsLogBuilder::new(url)
    }

    /// Opens the log of a cluster on the servers of a URL with the defaults.
    ///
    /// # Errors
    /// Those of [`NatsLogBuilder::connect`].
    pub async fn connect(url: &str, cluster: &str) -> Result<Self, Error> {
        Self::builder(url).cluster(cluster).connect().await
    }

    /// What its stream is like now: replicas, storage and limits, whoever set them.
    ///
    /// # Errors
    /// As a read's; [`ErrorKind::Unavailable`](invalidation_core::ErrorKind::Unavailable) if there is no stream.
    pub async fn stream_settings(&self) -> Result<StreamSettings, Error> {
        const OPERATION: &str = "stream settings";
        self.shared
            .reading(OPERATION, async |session| {
                let info = self.shared.info(session, OPERATION).await?;
                Ok(info.config.settings())
            })
            .await
    }

    fn start(settings: Settings, server: &Server, place: Place, domain: Option<&str>) -> Self {
        let closing = CancellationToken::new();
        let connection =
            || Connection::new(server.clone(), settings.write_timeout, closing.clone());
        let shared = Arc::new(Shared {
            api: Api::new(place, domain),
            reader: connection(),
            writer: connection(),
            settings,
            known: RwLock::new(None),
            is_installed: AtomicBool::new(false),
            passed: Passed::default(),
            ages: Ages::default(),
            apart: Apart::default(),
            closing,
        });
        Self {
            appender: Appender::start(Arc::clone(&shared)),
            shared,
        }
    }

    async fn reach(&self) -> Result<(), Error> {
        self.shared.reader.session("connect").await.map(|_| ())
    }
}

impl Shared {
    fn known(&self) -> Option<Identity> {
        *self.known.read()
    }

    fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        match self.closing.is_cancelled() {
            true => Err(closed(operation)),
            false => Ok(()),
        }
    }

    /// The state of the stream, which must be one that the log can trust.
    async fn info(&self, session: &Session, operation: &'static str) -> Result<Info, Error> {
        match self.api.info(session, operation).await? {
            Some(info) => {
                self.look(session, &info, operation)?;
                Ok(info)
            }
            None => Err(install::no_stream(operation, &self.api.place)),
        }
    }

    fn look(&self, session: &Session, info: &Info, operation: &'static str) -> Result<(), Error> {
        info.config
            .check(operation, &self.api.place, &self.settings.wanted)?;
        self.ages.note(info.identity, info.last);
        session.saw(info.identity);
        *self.known.write() = Some(info.identity);
        Ok(())
    }

    /// Runs a call on the reader's connection within the read timeout; connecting has its own.
    async fn reading<T>(
        &self,
        operation: &'static str,
        call: impl AsyncFnOnce(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check_open(operation)?;
        let session = self.reader.session(operation).await?;
        let limit = self.settings.read_timeout;
        match timeout(limit, call(&session)).await {
            Ok(done) => done,
            Err(_) => Err(timed_out(operation, limit)),
        }
    }
}

#[async_trait]
impl InvalidationLog for NatsLog {
    fn capabilities(&self) -> LogCapabilities {
        let wanted = &self.shared.settings.wanted;
        let mut capabilities = LogCapabilities::new(BACKEND);
        capabilities.transactional = false;
        capabilities.reads = match wanted.replicas {
            1 => ReadConsistency::SinglePrimary,
            _ => ReadConsistency::MayBeStale,
        };
        capabilities.keeps_acknowledged = wanted.syncs_always && wanted.storage == Storage::File;
        capabilities.shared_across_hosts = true;
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        const OPERATION: &str = "install";
        let shared = &self.shared;
        shared.check_open(OPERATION)?;
        let limit = shared.settings.write_timeout;
        let installing = async {
            let session = shared.writer.session(OPERATION).await?;
            install::install(shared, &session, OPERATION).await?;
            fleet::survey(shared, &session, OPERATION).await
        };
        match timeout(limit, installing).await {
            Ok(done) => done,
            Err(_) => Err(timed_out(OPERATION, limit)),
        }
    }

    async fn head(&self) -> Result<Cursor, Error> {
        const OPERATION: &str = "head";
        let shared = &*self.shared;
        shared
            .reading(OPERATION, async |session| {
                let info = shared.info(session, OPERATION).await?;
                fleet::check(shared, OPERATION).await?;
                let mark = read::head(shared, session, OPERATION, info).await?;
                Ok(mark.to_cursor())
            })
            .await
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        const OPERATION: &str = "append";
        self.shared.check_open(OPERATION)?;
        let limit = self.shared.settings.write_timeout;
        match timeout(limit, self.appender.append(entries)).await {
            Ok(done) => done,
            Err(_) => Err(timed_out(OPERATION, limit)),
        }
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        const OPERATION: &str = "read";
        let shared = &*self.shared;
        shared
            .reading(OPERATION, async |session| {
                let info = match shared.api.info(session, OPERATION).await? {
                    Some(info) => {
                        shared.look(session, &info, OPERATION)?;
                        info
                    }
                    // Deleted, or gone with a server's memory: nobody else would make it anew (`P20`).
                    None if shared.is_installed.load(Ordering::Acquire) => {
                        install::install(shared, session, OPERATION).await?
                    }
                    None => return Err(install::no_stream(OPERATION, &shared.api.place)),
                };
                fleet::check(shared, OPERATION).await?;
                read::page(shared, session, info, &request).await
            })
            .await
    }

    fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        self.shared.passed.covers(cursor, position)
    }

    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.shared.check_open("purge")?;
        purge::purge(&self.shared, retention).await
    }

    fn identity(&self) -> Option<LogIdentity> {
        self.shared.known().map(Identity::to_word)
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.closing.cancel();
        self.appender.close();
        self.shared.reader.close();
        self.shared.writer.close();
        Ok(())
    }
}
