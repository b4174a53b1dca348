//! The log itself.

mod append;
mod attach;
mod builder;
mod connection;
mod cursor;
mod header;
mod home;
mod insert;
mod join;
mod literal;
mod members;
mod page;
mod purge;
mod read;
mod read_sql;
mod schema;
mod schema_name;
mod snapshot;

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
    Cursor, Entry, Error, ErrorKind, InvalidationLog, LogCapabilities, LogIdentity, LogStatement,
    Members, Page, Position, Purged, ReadConsistency, ReadRequest, backend::AppendQueue,
};
use parking_lot::RwLock;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::sync::Mutex;

use self::{
    append::LIMITS,
    builder::Settings,
    connection::{Role, Slot, bounded},
    cursor::{Identity, Mark},
    members::Pulse,
    read::Statements,
    schema_name::SchemaName,
};
pub use self::{
    attach::{Attach, Attached},
    builder::{PgLogBuilder, Pooling},
};
use crate::error::{BACKEND, error};

/// A log in a PostgreSQL database. See the [crate's docs](crate).
///
/// Cheap to share behind an `Arc`. All methods may be called concurrently, and every future may be dropped at any
/// point. It holds two connections of its own: one reads, one writes.
#[derive(Debug)]
pub struct PgLog {
    shared: Arc<Shared>,
    appends: AppendQueue,
}

/// What the log and its append task have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Arc<Settings>,
    statements: Statements,
    /// Appends, purge and installation take turns on it.
    writer: Mutex<Slot>,
    reader: Mutex<Slot>,
    /// The identity that was seen last, for those who cannot wait.
    known: RwLock<Option<Identity>>,
    pulse: Pulse,
    closed: AtomicBool,
}

impl PgLog {
    /// How to open the log in the database of a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    pub fn builder(url: &str) -> PgLogBuilder {
        PgLogBuilder::of_url(url)
    }

    /// How to open the log in the database of these options.
    pub fn with_options(options: PgConnectOptions) -> PgLogBuilder {
        PgLogBuilder::of_options(options)
    }

    /// How to open the log in the database of a pool. Its connections are the log's own, made with the pool's
    /// options: the business's are not waited for.
    pub fn with_pool(pool: &PgPool) -> PgLogBuilder {
        PgLogBuilder::of_pool(pool)
    }

    /// Opens the log in the database of a URL with the defaults.
    ///
    /// # Errors
    /// Those of [`PgLogBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// The SQL that makes the log in this schema, for those whose programs may not: to be run once by its owner.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name that cannot be used.
    pub fn install_sql(schema: &str) -> Result<String, Error> {
        SchemaName::parse(schema).map(|schema| schema::install_sql(&schema))
    }

    /// The SQL that lets a role use the log in this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a schema's name that cannot be used.
    pub fn grant_sql(schema: &str, role: &str) -> Result<String, Error> {
        SchemaName::parse(schema).map(|schema| schema::grant_sql(&schema, role))
    }

    pub(crate) fn start(settings: Arc<Settings>) -> Self {
        let shared = Arc::new(Shared {
            statements: Statements::new(&settings.schema),
            writer: Mutex::new(Slot::new(settings.clone(), Role::Writer)),
            reader: Mutex::new(Slot::new(settings.clone(), Role::Reader)),
            pulse: Pulse::new(settings.members_expire_after),
            settings,
            known: RwLock::new(None),
            closed: AtomicBool::new(false),
        });
        Self {
            appends: AppendQueue::start(shared.clone(), LIMITS),
            shared,
        }
    }

    /// Connects the reader.
    pub(crate) async fn reach(&self, operation: &'static str) -> Result<(), Error> {
        bounded(operation, self.shared.settings.write_timeout, async {
            let mut slot = self.shared.reader.lock().await;
            let session = slot.take(operation).await?;
            slot.put(session);
            Ok(())
        })
        .await
    }

    pub(crate) async fn current_identity(
        &self,
        operation: &'static str,
    ) -> Result<Identity, Error> {
        self.shared.check_open(operation)?;
        let known = *self.shared.known.read();
        match known {
            Some(known) => Ok(known),
            None => self.shared.head(operation).await.map(|(_, known)| known),
        }
    }
}

impl Shared {
    fn learn(&self, identity: Identity) {
        *self.known.write() = Some(identity);
    }

    /// Unless another one was learnt meanwhile.
    fn forget(&self, identity: Identity) {
        let mut known = self.known.write();
        if *known == Some(identity) {
            *known = None;
        }
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
            let mut session = slot.take(operation).await?;
            let head = self.statements.head(&mut session, operation).await?;
            slot.put(session);
            self.learn(head.1);
            Ok(head)
        })
        .await
    }
}

pub(crate) fn closed(operation: &'static str) -> Error {
    error(
        ErrorKind::Closed,
        operation,
        "the log was closed: open another",
    )
}

#[async_trait]
impl InvalidationLog for PgLog {
    fn capabilities(&self) -> LogCapabilities {
        let mut capabilities = LogCapabilities::new(BACKEND);
        capabilities.transactional = true;
        capabilities.reads = ReadConsistency::SinglePrimary;
        // As long as the server keeps `fsync` and `synchronous_commit` on; an asynchronous standby that takes over
        // may lack the last commits, which every reader is told.
        capabilities.keeps_acknowledged = true;
        capabilities.shared_across_hosts = true;
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        const OPERATION: &str = "install";
        let shared = &self.shared;
        bounded(OPERATION, shared.settings.write_timeout, async {
            let mut slot = shared.writer.lock().await;
            shared.check_open(OPERATION)?;
            let mut session = slot.take(OPERATION).await?;
            schema::install(&mut session, &shared.settings.schema).await?;
            let (_, identity) = shared.statements.head(&mut session, OPERATION).await?;
            slot.put(session);
            shared.learn(identity);
            Ok(())
        })
        .await
    }

    async fn head(&self) -> Result<Cursor, Error> {
        self.shared.head("head").await.map(|(cursor, _)| cursor)
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.shared.check_open("append")?;
        self.appends.append(entries).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        const OPERATION: &str = "read";
        let shared = &self.shared;
        bounded(OPERATION, shared.limit(), async {
            let mut slot = shared.reader.lock().await;
            shared.check_open(OPERATION)?;
            let mut session = slot.take(OPERATION).await?;
            let (page, identity) = shared
                .statements
                .page(&mut session, &request, &shared.pulse)
                .await?;
            slot.put(session);
            shared.learn(identity);
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

    fn statement(&self, entries: &[Entry]) -> Option<LogStatement> {
        let known = (*self.shared.known.read())?;
        Some(LogStatement::new(
            insert::statement(&self.shared.settings.schema),
            insert::parameter(known, entries.iter()),
            entries.len() as u64,
        ))
    }

    fn identity(&self) -> Option<LogIdentity> {
        self.shared.known.read().map(Identity::to_word)
    }

    fn members(&self) -> Option<Members> {
        Some(self.shared.pulse.members.clone())
    }

    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.closed.store(true, Ordering::Release);
        self.appends.close();
        self.shared.writer.lock().await.close().await;
        let mut reader = self.shared.reader.lock().await;
        reader.leave(&self.shared.pulse).await;
        reader.close().await;
        Ok(())
    }
}
