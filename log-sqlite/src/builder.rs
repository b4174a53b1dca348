//! How a log is opened.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use invalidation_core::{Error, ErrorKind};

use crate::{SqliteLog, connection::Missing, error::error};

/// What an acknowledged append of this log survives. Every choice survives the crash of any process.
///
/// It is a property of the log's own connection. Entries that join a transaction of the caller are as durable
/// as that transaction's connection makes them (`PRAGMA synchronous`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Also a power loss or a crash of the operating system: `synchronous = FULL`, one `fsync` for each group
    /// of concurrent appends. The default.
    #[default]
    PowerLoss,
    /// Not a power loss, which may take the last commits back: `synchronous = NORMAL`. A reader that had
    /// read a lost entry is told ([`GapReason::WitnessLost`](invalidation_core::GapReason::WitnessLost)).
    ProcessCrash,
}

/// What this process may do with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Access {
    /// Read, append and purge. The default.
    #[default]
    ReadWrite,
    /// Read alone: the file is opened with `mode=ro`, and whatever writes fails with
    /// [`ErrorKind::ReadOnly`]. Some other process must have installed the log.
    ReadOnly,
}

/// Opens a [`SqliteLog`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open`"]
pub struct SqliteLogBuilder {
    settings: Settings,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) create_if_missing: bool,
    pub(crate) access: Access,
    pub(crate) read_timeout: Duration,
    pub(crate) append_timeout: Duration,
    pub(crate) durability: Durability,
    pub(crate) max_pages: Option<u32>,
}

/// SQLite takes the busy timeout as a 32-bit number of milliseconds; an hour is long enough.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

impl SqliteLogBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            settings: Settings {
                path: path.into(),
                create_if_missing: true,
                access: Access::ReadWrite,
                read_timeout: Duration::from_millis(200),
                append_timeout: Duration::from_secs(4),
                durability: Durability::PowerLoss,
                max_pages: None,
            },
        }
    }

    /// Whether a file that does not exist is made by [`open`](Self::open) and by `install`; yes by default.
    /// A file that vanishes later is never made anew: that is an error until it is back.
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.settings.create_if_missing = create;
        self
    }

    /// What this process may do with the file; [`Access::ReadWrite`] by default.
    pub fn access(mut self, access: Access) -> Self {
        self.settings.access = access;
        self
    }

    /// How long a read waits for a lock; 200 ms by default. In WAL mode readers hardly ever meet one.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.settings.read_timeout = timeout;
        self
    }

    /// How long an append, an installation or a purge waits for the write lock; 4 s by default, which is less
    /// than a node waits, so that a lock is told as such.
    pub fn append_timeout(mut self, timeout: Duration) -> Self {
        self.settings.append_timeout = timeout;
        self
    }

    /// What an acknowledged append survives; [`Durability::PowerLoss`] by default.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// The number of database pages that appends of this process may grow the file to; above it they fail
    /// with [`ErrorKind::ReadOnly`]. No limit by default. (`PRAGMA max_page_count`)
    pub fn max_pages(mut self, pages: u32) -> Self {
        self.settings.max_pages = Some(pages);
        self
    }

    /// Opens the log's two connections, and the task that groups appends.
    ///
    /// Nothing is written to an existing file: that is for
    /// [`install`](invalidation_core::InvalidationLog::install), which a node calls when it starts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a path or a timeout that cannot be used, [`ErrorKind::Unavailable`] when
    /// the file is missing and may not be made, [`ErrorKind::Denied`] without the rights to open it.
    pub async fn open(self) -> Result<SqliteLog, Error> {
        let settings = self.settings.checked()?;
        let missing = if settings.may_create() {
            Missing::Create
        } else {
            Missing::Refuse
        };
        SqliteLog::start(Arc::new(settings), missing).await
    }

    /// As [`open`](Self::open), but touches no file yet: for a node that starts in bypass while the file cannot
    /// be reached. Whatever comes first opens it, and fails until it can;
    /// [`install`](invalidation_core::InvalidationLog::install) makes a file that is missing. To be called
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a path or a timeout that cannot be used.
    pub fn open_later(self) -> Result<SqliteLog, Error> {
        Ok(SqliteLog::start_unopened(Arc::new(
            self.settings.checked()?,
        )))
    }
}

impl Settings {
    /// A read-only process creates nothing.
    pub(crate) fn may_create(&self) -> bool {
        self.create_if_missing && self.access == Access::ReadWrite
    }

    fn checked(mut self) -> Result<Self, Error> {
        let refuse = |why: String| Err(error(ErrorKind::Invalid, "open", why));
        if self.path.as_os_str().is_empty() || self.path == Path::new(":memory:") {
            return refuse(
                "SQLite's in-memory databases are private to one connection: name a file, or use the \
                 memory log"
                    .into(),
            );
        }
        if self.path.as_os_str().as_encoded_bytes().contains(&0) || self.path.to_str().is_none() {
            return refuse("the path must be UTF-8 without NUL: choose another".into());
        }
        for (name, timeout) in [("read", self.read_timeout), ("append", self.append_timeout)] {
            if timeout > MAX_TIMEOUT {
                return refuse(format!("the {name} timeout must be at most one hour"));
            }
        }
        // Absolute, so that a change of the working folder changes nothing, and that SQLite never takes the
        // path for a `file:` URI.
        match std::path::absolute(&self.path) {
            Ok(path) => self.path = path,
            Err(e) => return refuse(format!("the path cannot be made absolute: {e}")),
        }
        Ok(self)
    }
}
