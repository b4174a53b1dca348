//! The log itself.

mod append;
mod builder;
mod check;
mod cursor;
mod page;
mod purge;
mod reply;
mod rows;
mod scripts;
mod slot;
mod write;

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_core::{
    Cursor, Entry, Error, ErrorKind, GapReason, InvalidationLog, LogCapabilities, LogIdentity,
    Page, Position, Purged, ReadConsistency, ReadRequest,
};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use self::{
    append::Appender,
    builder::Settings,
    cursor::{Identity, Mark, random},
    page::{Known, Look},
    reply::VERSION,
    scripts::{Arguments, INSTALL, READ, TURN},
    slot::{Slot, bounded},
};
pub use self::{builder::RedisLogBuilder, write::RedisWrite};
use crate::{
    error::{BACKEND, error},
    server::Link,
};

/// A log in one stream of Redis or Valkey, version 7 or newer.
///
/// Cheap to share behind an `Arc`. All methods may be called concurrently, and every future may be dropped at any
/// point. It holds two connections of its own: one reads, one writes.
///
/// # How nothing is missed
/// Each method is one Lua script, hence one step on the server. The ids of the stream are `1-0`, `2-0` and so on without
/// a hole, since the script takes the next one from the stream itself: an id that is missing behind a cursor was trimmed
/// or deleted, and the cursor expires. Each row names the nonce of the row before it, so that a cursor can be checked also
/// when its own row was purged. The log's identity is the server's `master_replid`, which is another one after every start
/// and every promotion, and an epoch in the name of a consumer group, which lives and dies with the stream. (`run_id`
/// would not do: a primary that followed another one for a while, and threw its last entries away, keeps it.) The script
/// that reads looks at all of this, and at whether the server is a replica.
///
/// | what happens | what readers are told |
/// | --- | --- |
/// | purged, or beyond [`max_entries`](RedisLogBuilder::max_entries) | `purged`, unless the cursor had passed it |
/// | entries deleted by hand | `entries_lost`, or `witness_lost` when it is the newest that was read |
/// | the key deleted, renamed or evicted, `FLUSHALL` | `identity_changed`; the next call makes the log anew |
/// | the server started again, from whatever file or none | `identity_changed` |
/// | a replica promoted, whether it lacks the last entries or not | `identity_changed` |
/// | the slot moved to another node of a cluster | `identity_changed` |
/// | a first replica attached, or one after an hour without any | `identity_changed`, though nothing was lost |
/// | the key restored from a dump while the server runs | `witness_lost`, or `identity_changed`: see below |
///
/// A dump of the key alone that is restored while the server runs brings an old epoch back too. Whoever had read what is
/// gone is told at once. The others are told by the first node that wrote or read something which is gone, with its next
/// call of any kind: it gives the log another epoch. Only when no such node lives any more they are not: delete the key
/// before it is restored, or restore by the server's own file.
///
/// A primary that was replaced, and does not know it yet, goes on acknowledging what is lost, after everybody was told of the
/// promotion. Whoever appended or read such an entry gives the log another epoch as well, with its first call to the new
/// primary. Nothing tells it whether the entry came before the promotion or after it, so a failover that lost entries may be
/// told twice. Not told is what such a primary took from a node that has died since, or from one that comes after another has
/// told of its own; nor what a server goes on taking whose file was started elsewhere: end it first.
///
/// As long as a node that has to tell of a loss cannot write, its own reads fail. One that has no right to write tells nobody
/// but itself, and logs a warning.
///
/// # What it promises, and what not
/// | promise | |
/// | --- | --- |
/// | each entry is read, or a gap is told (`P1`, `P10`, `P13`) | yes, as above |
/// | an entry shares the fate of a transaction (`P2`) | of a script on data in the same Redis, with [`RedisWrite`]; of a transaction elsewhere not |
/// | bounded staleness (`P3`, `P4`) | as long as there is one primary |
/// | what was acknowledged is kept | no: Redis acknowledges before its replicas have it, and by default before its disk has it. What is lost is told, but for what a primary took that had been replaced already: see above |
/// | ages by one clock (`P17`) | yes: the server's. What was stamped before a start or a promotion counts as of the next entry |
///
/// A primary that is cut off from its Sentinels or its cluster serves reads until it notices, and a node that is cut off
/// with it counts `max_staleness` by what that primary knows. `min-replicas-to-write` keeps such a primary from
/// acknowledging what will be lost. While a slot of a cluster is on its way to another node, calls fail as unavailable. A
/// proxy that answers `INFO` itself, as that of Redis Enterprise may, hides the server's history: connect to the server.
///
/// # Server and rights
/// Set `maxmemory-policy` to `noeviction` or a `volatile-…` one; others are refused, unless
/// [`allow_eviction`](RedisLogBuilder::allow_eviction) says that they are accepted. A user needs
///
/// ```text
/// +eval +evalsha +eval_ro +evalsha_ro +info +type +time +xinfo +xgroup +xadd +xrange +xrevrange +xtrim
/// ```
///
/// on the log's key, `~cache_invalidation:*`; one who only reads `+eval_ro +evalsha_ro +info +type +xinfo +xrange` and
/// `%R~cache_invalidation:*`. On another database than 0 both need `+select`.
#[derive(Debug)]
pub struct RedisLog {
    shared: Arc<Shared>,
    appender: Appender,
}

/// What the log and its append task have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Arc<Settings>,
    /// Appends, purge and installation take turns on it.
    writer: Mutex<Slot>,
    reader: Mutex<Slot>,
    /// What this handle knows of the log's past.
    known: RwLock<Option<Known>>,
    closed: AtomicBool,
}

impl RedisLog {
    /// How to open the log on the servers of a URL: see [`RedisLogBuilder::url`].
    pub fn builder(url: &str) -> RedisLogBuilder {
        RedisLogBuilder::new(url)
    }

    /// Opens the log on the servers of a URL with the defaults.
    ///
    /// # Errors
    /// Those of [`RedisLogBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// The stream that holds the log.
    pub fn key(&self) -> &str {
        &self.shared.settings.key
    }

    pub(crate) fn start(settings: Arc<Settings>) -> Self {
        let shared = Arc::new(Shared {
            writer: Mutex::new(Slot::new(settings.clone())),
            reader: Mutex::new(Slot::new(settings.clone())),
            settings,
            known: RwLock::new(None),
            closed: AtomicBool::new(false),
        });
        Self {
            appender: Appender::start(shared.clone()),
            shared,
        }
    }

    /// Connects the reader.
    pub(crate) async fn reach(&self, operation: &'static str) -> Result<(), Error> {
        bounded(operation, self.shared.settings.write_timeout, async {
            let mut slot = self.shared.reader.lock().await;
            let link = slot.take(operation).await?;
            slot.put(link);
            Ok(())
        })
        .await
    }
}

impl Shared {
    fn known(&self) -> Option<Known> {
        *self.known.read()
    }

    fn learn(&self, seen: Known) {
        let mut known = self.known.write();
        *known = Some(known.map_or(seen, |known| known.and(seen)));
    }

    /// Learns what an answer shows that does not contradict `asked`, which was known when it was asked for.
    fn learn_from(&self, look: &Look, asked: Option<Known>) {
        let mut known = self.known.write();
        let seen = look.shows();
        *known = Some(known.map_or(seen, |known| known.and_seen(seen, asked)));
    }

    fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed(operation));
        }
        Ok(())
    }

    /// What any call but a write may take: a connection may have to be made first.
    fn limit(&self) -> Duration {
        self.settings.read_timeout.max(self.settings.write_timeout)
    }

    async fn head(&self, operation: &'static str) -> Result<(Cursor, Identity), Error> {
        bounded(operation, self.limit(), async {
            let mut slot = self.reader.lock().await;
            self.check_open(operation)?;
            let link = slot.take(operation).await?;
            let known = self.known();
            let (look, _) = self.look(operation, &link, None, [0, 0]).await?;
            slot.put_unless_moved(link, known, look.identity);
            Ok((look.head().to_cursor(), look.identity))
        })
        .await
    }

    async fn page(
        &self,
        link: &Link,
        request: &ReadRequest<'_>,
    ) -> Result<(Page, Identity), Error> {
        let mark = Mark::from_cursor(request.after);
        let most = [request.max_entries.max(1), request.max_bytes];
        let (look, past) = self.look("read", link, mark.as_ref(), most).await?;
        let page = match past {
            Past::Told => look.page(mark.as_ref(), request),
            Past::Changed => {
                // Whoever reads by this handle is told here, and with that it has told all that it can.
                *self.known.write() = Some(look.shows());
                look.expired(request, GapReason::WitnessLost)
            }
        };
        Ok((page, look.identity))
    }

    /// Looks at the log, and at a page of at most so many entries and bytes behind `mark`.
    async fn look(
        &self,
        operation: &'static str,
        link: &Link,
        mark: Option<&Mark>,
        [entries, bytes]: [usize; 2],
    ) -> Result<(Look, Past), Error> {
        for _ in 0..2 {
            let known = self.known();
            let row = known.and_then(|known| known.row);
            let arguments = Arguments::default()
                .and(mark.map_or_else(String::new, |mark| mark.place.to_string()))
                .and(entries.to_string())
                .and(bytes.to_string())
                .and(row.map_or_else(String::new, |(place, _)| place.to_string()));
            let look = self.look_once(operation, link, &arguments).await?;
            let Some(known) = known.filter(|known| look.contradicts(known)) else {
                self.learn_from(&look, known);
                return Ok((look, Past::Told));
            };
            // Whoever reads on from before that finds nothing wrong: only this handle can tell all of them (`P1`).
            match self.turn(operation, link, look.identity, &known).await {
                Ok(()) => {}
                Err(e) if e.kind == ErrorKind::Denied => {
                    tracing::warn!(
                        error = %e,
                        "the log was put back to an older state, and the other nodes cannot be told: delete its key"
                    );
                    return Ok((look, Past::Changed));
                }
                // It passes: nobody was told, so nothing is forgotten, and the next call tries again.
                Err(e) => return Err(e),
            }
        }
        Err(error(
            ErrorKind::Unavailable,
            operation,
            "the log's past changes again and again: wait until the restore is over",
        ))
    }

    /// Runs the script that reads, and makes the log first where there is none: it was deleted, evicted or lost, and nobody
    /// will install it again.
    async fn look_once(
        &self,
        operation: &'static str,
        link: &Link,
        arguments: &Arguments,
    ) -> Result<Look, Error> {
        let key = &self.settings.key;
        let reply = READ.run(operation, link, key, arguments).await?;
        if reply.is_there() {
            return Look::of(reply);
        }
        self.make(operation, link).await?;
        let reply = READ.run(operation, link, key, arguments).await?;
        if reply.is_there() {
            return Look::of(reply);
        }
        Err(error(
            ErrorKind::Unavailable,
            operation,
            format!("the log in {key:?} is deleted again and again: see who does it"),
        ))
    }

    /// Makes the log where there is none.
    async fn make(&self, operation: &'static str, link: &Link) -> Result<(), Error> {
        let arguments = Arguments::default()
            .and(VERSION.to_string())
            .and(random())
            .and(epoch(self.known().as_ref()));
        let key = &self.settings.key;
        let reply = INSTALL.run(operation, link, key, &arguments).await?;
        let identity = reply.identity()?;
        self.learn(Known {
            identity,
            row: None,
        });
        Ok(())
    }

    /// Gives the log another epoch, unless somebody else did.
    async fn turn(
        &self,
        operation: &'static str,
        link: &Link,
        from: Identity,
        known: &Known,
    ) -> Result<(), Error> {
        let arguments = Arguments::default()
            .and(VERSION.to_string())
            .and(from.epoch())
            .and(random())
            .and(epoch(Some(known)));
        TURN.run(operation, link, &self.settings.key, &arguments)
            .await?;
        if let Some(now) = &mut *self.known.write() {
            *now = now.after_telling(known);
        }
        Ok(())
    }
}

/// Whether all readers can tell what this handle knows of the past.
#[derive(Debug, Clone, Copy)]
enum Past {
    Told,
    /// It was changed, and nobody else will find out.
    Changed,
}

/// The epoch that a new one must be above.
fn epoch(known: Option<&Known>) -> String {
    known.map_or_else(String::new, |known| known.identity.epoch())
}

pub(crate) fn closed(operation: &'static str) -> Error {
    error(
        ErrorKind::Closed,
        operation,
        "the log was closed: open another",
    )
}

#[async_trait]
impl InvalidationLog for RedisLog {
    fn capabilities(&self) -> LogCapabilities {
        let mut capabilities = LogCapabilities::new(BACKEND);
        // Of business data in the same Redis: see RedisWrite.
        capabilities.transactional = true;
        capabilities.reads = ReadConsistency::SinglePrimary;
        capabilities.shared_across_hosts = true;
        // `keeps_acknowledged` stays false: replication is asynchronous, whatever the server's own files do.
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        const OPERATION: &str = "install";
        let shared = &self.shared;
        bounded(OPERATION, shared.settings.write_timeout, async {
            let mut slot = shared.writer.lock().await;
            shared.check_open(OPERATION)?;
            let link = slot.take(OPERATION).await?;
            check::check(OPERATION, &link, shared.settings.eviction).await?;
            shared.make(OPERATION, &link).await?;
            slot.put(link);
            Ok(())
        })
        .await
    }

    async fn head(&self) -> Result<Cursor, Error> {
        self.shared.head("head").await.map(|(cursor, _)| cursor)
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.shared.check_open("append")?;
        self.appender.append(entries).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        const OPERATION: &str = "read";
        let shared = &self.shared;
        bounded(OPERATION, shared.limit(), async {
            let mut slot = shared.reader.lock().await;
            shared.check_open(OPERATION)?;
            let link = slot.take(OPERATION).await?;
            let known = shared.known();
            let (page, identity) = bounded(
                OPERATION,
                shared.settings.read_timeout,
                shared.page(&link, &request),
            )
            .await?;
            slot.put_unless_moved(link, known, identity);
            Ok(page)
        })
        .await
    }

    fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        Mark::from_cursor(cursor).is_some_and(|mark| mark.covers(position))
    }

    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.shared.check_open("purge")?;
        purge::purge(&self.shared, retention).await
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
        self.shared.writer.lock().await.close();
        self.shared.reader.lock().await.close();
        Ok(())
    }
}
