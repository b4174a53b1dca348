//! The log itself.

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
    Page, Position, Purged, ReadConsistency, ReadRequest, backend::AppendQueue,
};
use parking_lot::RwLock;
use sqlx::{MySqlPool, mysql::MySqlConnectOptions};
use tokio::sync::Mutex;

use crate::{
    append::LIMITS,
    builder::{MySqlLogBuilder, Settings},
    connection::{Role, Session, Slot, bounded},
    cursor::{Epoch, Mark},
    database_name::DatabaseName,
    error::{BACKEND, error},
    flavour::Flavour,
    header::Header,
    insert, purge, read, schema,
};

/// A log in a database of MySQL or MariaDB. See the [crate's docs](crate).
///
/// Cheap to share behind an `Arc`. All methods may be called concurrently, and every future may be dropped at any
/// point. It holds two connections of its own: one reads and stamps, one writes.
#[derive(Debug)]
pub struct MySqlLog {
    shared: Arc<Shared>,
    appends: AppendQueue,
}

/// What the log and its append task have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    /// Appends, purge, installation and triggers take turns on it.
    pub(crate) writer: Mutex<Slot>,
    reader: Mutex<Slot>,
    /// What was seen last, for those who cannot wait.
    known: RwLock<Option<Known>>,
    closed: AtomicBool,
}

/// What is known of the server and the log on it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) epoch: Epoch,
    /// What tells this server from others.
    pub(crate) server: Arc<str>,
    pub(crate) flavour: Flavour,
    pub(crate) max_packet: usize,
}

impl MySqlLog {
    /// How to open the log in the database of a URL, `mysql://USER:PASSWORD@HOST:PORT/DATABASE`. Its `ssl-mode` is
    /// `PREFERRED` unless told otherwise, which anybody on the way can turn off.
    pub fn builder(url: &str) -> MySqlLogBuilder {
        MySqlLogBuilder::of_url(url)
    }

    /// How to open the log in the database of these options.
    pub fn with_options(options: MySqlConnectOptions) -> MySqlLogBuilder {
        MySqlLogBuilder::of_options(options)
    }

    /// How to open the log in the database of a pool. Its connections are the log's own, made with the pool's
    /// options: the business's are not waited for.
    pub fn with_pool(pool: &MySqlPool) -> MySqlLogBuilder {
        MySqlLogBuilder::of_pool(pool)
    }

    /// Opens the log in the database of a URL with the defaults.
    ///
    /// # Errors
    /// Those of [`MySqlLogBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// The SQL that makes the log in this database, which is there, for those whose programs may not: to be run once.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name that cannot be used.
    pub fn install_sql(database: &str) -> Result<String, Error> {
        DatabaseName::parse(database).map(|database| schema::install_sql(&database))
    }

    /// The SQL that lets a user, as in `'user'@'host'`, use the log in this database.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a database's name that cannot be used.
    pub fn grant_sql(database: &str, user: &str, host: &str) -> Result<String, Error> {
        DatabaseName::parse(database).map(|database| schema::grant_sql(&database, user, host))
    }

    pub(crate) fn start(settings: Arc<Settings>) -> Self {
        let shared = Arc::new(Shared {
            writer: Mutex::new(Slot::new(settings.clone(), Role::Writer)),
            reader: Mutex::new(Slot::new(settings.clone(), Role::Reader)),
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

    pub(crate) fn database(&self) -> &DatabaseName {
        &self.shared.settings.database
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What was seen last, or is there now.
    pub(crate) async fn current(&self, operation: &'static str) -> Result<Known, Error> {
        self.shared.check_open(operation)?;
        let known = self.shared.known.read().clone();
        match known {
            Some(known) => Ok(known),
            None => self.shared.head(operation).await.map(|(_, known)| known),
        }
    }
}

impl Shared {
    fn learn(&self, session: &Session, header: &Header) -> Known {
        let known = Known {
            epoch: header.epoch,
            server: header.server.as_str().into(),
            flavour: session.flavour,
            max_packet: session.max_packet,
        };
        *self.known.write() = Some(known.clone());
        known
    }

    /// What was seen last, if it was on this connection or another to the same server in the same life.
    pub(crate) async fn known_on(
        &self,
        operation: &'static str,
        session: &mut Session,
    ) -> Result<Known, Error> {
        let known = self.known.read().clone();
        match known {
            Some(known) if session.is_known => Ok(known),
            _ => {
                let header = read::known(operation, session, &self.settings.database).await?;
                Ok(self.learn(session, &header))
            }
        }
    }

    pub(crate) fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed(operation));
        }
        Ok(())
    }

    /// What any call but a write may take: a connection may have to be made first.
    fn limit(&self) -> Duration {
        self.settings.read_timeout.max(self.settings.write_timeout)
    }

    async fn head(&self, operation: &'static str) -> Result<(Cursor, Known), Error> {
        bounded(operation, self.limit(), async {
            let mut slot = self.reader.lock().await;
            self.check_open(operation)?;
            let mut session = slot.take(operation).await?;
            let (cursor, header) =
                read::head(operation, &mut session, &self.settings.database).await?;
            let known = self.learn(&session, &header);
            slot.put(session);
            Ok((cursor, known))
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
impl InvalidationLog for MySqlLog {
    fn capabilities(&self) -> LogCapabilities {
        let mut capabilities = LogCapabilities::new(BACKEND);
        capabilities.transactional = true;
        capabilities.reads = ReadConsistency::SinglePrimary;
        // As long as the server keeps `innodb_flush_log_at_trx_commit` at 1; an asynchronous replica that takes over may
        // lack the last commits, which every reader is told.
        capabilities.keeps_acknowledged = true;
        capabilities.shared_across_hosts = true;
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        const OPERATION: &str = "install";
        let shared = &self.shared;
        let timeout = shared.settings.write_timeout;
        bounded(OPERATION, timeout, async {
            let mut slot = shared.writer.lock().await;
            shared.check_open(OPERATION)?;
            let mut session = slot.take(OPERATION).await?;
            let database = &shared.settings.database;
            schema::install(&mut session, database, timeout).await?;
            let header = read::known(OPERATION, &mut session, database).await?;
            shared.learn(&session, &header);
            slot.put(session);
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
            let database = &shared.settings.database;
            let (page, header) = read::page(&mut session, database, &request).await?;
            shared.learn(&session, &header);
            slot.put(session);
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
        let known = self.shared.known.read().clone()?;
        Some(LogStatement::new(
            insert::statement(self.database(), known.flavour),
            insert::parameter(&known.server, entries.iter()),
            entries.len() as u64,
        ))
    }

    fn identity(&self) -> Option<LogIdentity> {
        let known = self.shared.known.read();
        known.as_ref().map(|known| known.epoch.to_word())
    }

    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.closed.store(true, Ordering::Release);
        self.appends.close();
        self.shared.writer.lock().await.close().await;
        self.shared.reader.lock().await.close().await;
        Ok(())
    }
}
