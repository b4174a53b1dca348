//! The log itself.

use std::{
    any::Any,
    path::Path,
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
use tokio::sync::Mutex;

use crate::{
    append::LIMITS,
    builder::{Access, Durability, Settings, SqliteLogBuilder},
    connection::{Missing, Role, Slot},
    cursor::{Identity, Mark},
    error::{BACKEND, breaks_connection, error, from_sqlx},
    file_identity::FileIdentity,
    insert,
    members::Muster,
    purge, read, schema,
};

/// A log in an SQLite database, shared by all processes of one host. See the [crate's docs](crate).
///
/// Cheap to share behind an `Arc`. All methods may be called concurrently, and every future may be dropped at any
/// point. SQLite runs on threads of its own, never on the runtime's.
#[derive(Debug)]
pub struct SqliteLog {
    shared: Arc<Shared>,
    appends: AppendQueue,
}

/// What the log and its append task have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    /// The only connection that writes: appends, purge, installation and triggers take turns on it.
    pub(crate) writer: Mutex<Slot>,
    reader: Mutex<Slot>,
    /// The identity that was seen last, for those who cannot wait.
    known: RwLock<Option<Identity>>,
    muster: Muster,
    closed: AtomicBool,
}

impl SqliteLog {
    /// How to open the log in the database at `path`.
    pub fn builder(path: impl AsRef<Path>) -> SqliteLogBuilder {
        SqliteLogBuilder::new(path.as_ref())
    }

    /// Opens the log in the database at `path` with the defaults.
    ///
    /// # Errors
    /// Those of [`SqliteLogBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder(path).open().await
    }

    /// Both connections are opened, so that what is wrong with the file is told now.
    pub(crate) async fn start(settings: Arc<Settings>, missing: Missing) -> Result<Self, Error> {
        let mut writer = Slot::new(settings.clone(), Role::Writer);
        writer.ready("open", missing).await?;
        let mut reader = Slot::new(settings.clone(), Role::Reader);
        reader.ready("open", Missing::Refuse).await?;
        Ok(Self::with(settings, writer, reader))
    }

    /// Each connection is opened by the first who needs it.
    pub(crate) fn start_unopened(settings: Arc<Settings>) -> Self {
        let writer = Slot::new(settings.clone(), Role::Writer);
        let reader = Slot::new(settings.clone(), Role::Reader);
        Self::with(settings, writer, reader)
    }

    fn with(settings: Arc<Settings>, writer: Slot, reader: Slot) -> Self {
        let shared = Arc::new(Shared {
            settings,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            known: RwLock::new(None),
            muster: Muster::new(),
            closed: AtomicBool::new(false),
        });
        Self {
            appends: AppendQueue::start(shared.clone(), LIMITS),
            shared,
        }
    }

    /// The file that holds the log, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.shared.settings.path
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The identity of the log in the file that stands at the path now.
    pub(crate) async fn current_identity(
        &self,
        operation: &'static str,
    ) -> Result<Identity, Error> {
        self.shared.check_open(operation)?;
        let known = *self.shared.known.read();
        match known {
            Some(known) if FileIdentity::of(self.path()).ok() == Some(known.file) => Ok(known),
            _ => self
                .shared
                .head(operation)
                .await
                .map(|(_, identity)| identity),
        }
    }
}

impl Shared {
    pub(crate) fn learn(&self, identity: Identity) {
        *self.known.write() = Some(identity);
    }

    pub(crate) fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed(operation));
        }
        Ok(())
    }

    async fn head(&self, operation: &'static str) -> Result<(Cursor, Identity), Error> {
        let mut slot = self.reader.lock().await;
        self.check_open(operation)?;
        let handle = slot.ready(operation, Missing::Refuse).await?;
        let head = read::head(handle, operation).await;
        match &head {
            Ok((_, identity)) => self.learn(*identity),
            // Not worth telling apart here: opening anew is cheap beside a failed read.
            Err(_) => slot.discard(),
        }
        head
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
impl InvalidationLog for SqliteLog {
    fn capabilities(&self) -> LogCapabilities {
        let mut capabilities = LogCapabilities::new(BACKEND);
        capabilities.transactional = true;
        // One host, and one writer at a time: what is committed is seen by every later read.
        capabilities.reads = ReadConsistency::Linearizable;
        capabilities.keeps_acknowledged = self.shared.settings.durability == Durability::PowerLoss;
        capabilities.shared_across_hosts = false;
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        const OPERATION: &str = "install";
        let settings = &self.shared.settings;
        let missing = if settings.may_create() {
            Missing::Create
        } else {
            Missing::Refuse
        };
        let mut slot = self.shared.writer.lock().await;
        self.shared.check_open(OPERATION)?;
        let handle = slot.ready(OPERATION, missing).await?;
        schema::install(&mut handle.connection, settings.append_timeout).await?;
        let (_, identity) = read::head(handle, OPERATION).await?;
        self.shared.learn(identity);
        if settings.access == Access::ReadOnly {
            tracing::info!("the log is open for reading alone");
        }
        Ok(())
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
        let mut slot = self.shared.reader.lock().await;
        self.shared.check_open(OPERATION)?;
        // After `started` and before the statement: until then everything committed went to this file, so
        // what the statement sees is complete as of `started` (`P4`).
        let handle = slot.ready(OPERATION, Missing::Refuse).await?;
        match read::page(handle, &request).await {
            Ok(page) => {
                if let Some(log) = handle.log {
                    self.shared.learn(Identity {
                        log,
                        file: handle.file,
                    });
                }
                self.shared.muster.look(self.path());
                page
            }
            Err(e) => {
                if breaks_connection(&e) {
                    slot.discard();
                }
                Err(from_sqlx(OPERATION, e))
            }
        }
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
            insert::INSERT.into(),
            insert::parameter(known.log, entries.iter()),
            entries.len() as u64,
        ))
    }

    fn identity(&self) -> Option<LogIdentity> {
        self.shared.known.read().map(Identity::to_word)
    }

    fn members(&self) -> Option<Members> {
        // Elsewhere a file that is locked cannot be read.
        cfg!(unix).then(|| self.shared.muster.members.clone())
    }

    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.closed.store(true, Ordering::Release);
        self.appends.close();
        self.shared.muster.leave();
        self.shared.writer.lock().await.close().await;
        self.shared.reader.lock().await.close().await;
        Ok(())
    }
}
