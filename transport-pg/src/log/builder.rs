//! How a log is opened.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use invalidation_core::{Error, ErrorKind};
use sqlx::{PgPool, postgres::PgConnectOptions};

use super::{PgLog, schema_name::SchemaName};
use crate::error::error;

/// What stands between this process and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pooling {
    /// To be found out at each connection: a parameter of the session is set at its start and asked for again. The
    /// default.
    #[default]
    Detect,
    /// Nothing: statements are prepared once, those that join a transaction too.
    Direct,
    /// A pooler in transaction mode (pgbouncer, RDS Proxy): each statement is sent as text in one message with its
    /// settings, or within a transaction. To be chosen, too, where only the transactions that entries join go through one.
    Transaction,
}

/// Opens a [`PgLog`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct PgLogBuilder {
    options: Result<PgConnectOptions, &'static str>,
    schema: String,
    pooling: Pooling,
    read_timeout: Duration,
    write_timeout: Duration,
    members_expire_after: Duration,
}

pub(crate) struct Settings {
    pub(crate) options: PgConnectOptions,
    pub(crate) schema: SchemaName,
    pub(crate) pooling: Pooling,
    /// Whether a pooler was found.
    pub(crate) pooled: AtomicBool,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) members_expire_after: Duration,
}

impl Settings {
    /// Whether what is prepared in one transaction may be missing in the next.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pooling == Pooling::Transaction || self.pooled.load(Ordering::Relaxed)
    }
}

/// The longest timeout: an hour.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

impl PgLogBuilder {
    pub(crate) fn of_url(url: &str) -> Self {
        // The driver's own error may quote the URL.
        Self::new(url.parse().map_err(|_| {
            "the URL cannot be used: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of \
             the parts percent-encoded"
        }))
    }

    pub(crate) fn of_options(options: PgConnectOptions) -> Self {
        Self::new(Ok(options))
    }

    pub(crate) fn of_pool(pool: &PgPool) -> Self {
        Self::new(Ok(PgConnectOptions::clone(&pool.connect_options())))
    }

    fn new(options: Result<PgConnectOptions, &'static str>) -> Self {
        Self {
            options,
            schema: "cache_invalidation".into(),
            pooling: Pooling::Detect,
            read_timeout: Duration::from_millis(400),
            write_timeout: Duration::from_secs(4),
            members_expire_after: Duration::from_secs(15),
        }
    }

    /// The schema that holds the log; `cache_invalidation` by default. One schema is one cluster.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// The user's password, where the URL does not hold it.
    pub fn password(mut self, password: &str) -> Self {
        self.options = self.options.map(|options| options.password(password));
        self
    }

    /// What stands between this process and the server; [`Pooling::Detect`] by default.
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// After how long the server gives up the statement of a read; 400 ms by default, which is what a node waits, so
    /// that reads that were given up do not pile up.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long an append, an installation or one step of a purge may take; 4 s by default, which is less than a node
    /// waits.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// After how long without a heartbeat this node counts no more for the others: three heartbeats go out within it,
    /// each in the statement of a read, so that it must be longer than a few poll intervals. 15 s by default. Only for a
    /// node that announces itself: see [`Members`](invalidation_core::Members).
    pub fn members_expire_after(mut self, time: Duration) -> Self {
        self.members_expire_after = time;
        self
    }

    /// Connects, so that what is wrong with the address or the rights is told now. Nothing is written: that is for
    /// [`install`](invalidation_core::InvalidationLog::install), which a node calls when it starts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used, [`ErrorKind::Unavailable`] when the server cannot be
    /// reached, [`ErrorKind::Denied`] without the right to connect.
    pub async fn connect(self) -> Result<PgLog, Error> {
        let log = self.connect_later()?;
        log.reach("connect").await?;
        Ok(log)
    }

    /// As [`connect`](Self::connect), but whatever comes first connects: for a node that starts in bypass while the
    /// server cannot be reached. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used.
    pub fn connect_later(self) -> Result<PgLog, Error> {
        let refuse = |why: String| error(ErrorKind::Invalid, "connect", why);
        for (name, timeout) in [
            ("the read timeout", self.read_timeout),
            ("the write timeout", self.write_timeout),
            ("members_expire_after", self.members_expire_after),
        ] {
            if timeout.is_zero() || timeout > MAX_TIMEOUT {
                return Err(refuse(format!(
                    "{name} must be above zero and at most one hour"
                )));
            }
        }
        let mut options = self.options.map_err(|why| refuse(why.into()))?;
        if options.get_application_name().is_none() {
            options = options.application_name("cache-invalidation");
        }
        Ok(PgLog::start(Arc::new(Settings {
            options,
            schema: SchemaName::parse(&self.schema)?,
            pooling: self.pooling,
            pooled: AtomicBool::new(false),
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
            members_expire_after: self.members_expire_after,
        })))
    }
}

/// Without the password.
impl fmt::Debug for PgLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PgLogBuilder");
        if let Ok(options) = &self.options {
            show(&mut shown, options);
        }
        shown
            .field("schema", &self.schema)
            .field("pooling", &self.pooling)
            .finish_non_exhaustive()
    }
}

/// Without the password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Settings");
        show(&mut shown, &self.options);
        shown
            .field("schema", &self.schema.as_str())
            .field("pooling", &self.pooling)
            .finish_non_exhaustive()
    }
}

fn show(shown: &mut fmt::DebugStruct<'_, '_>, options: &PgConnectOptions) {
    shown
        .field("host", &options.get_host())
        .field("port", &options.get_port())
        .field("user", &options.get_username())
        .field("database", &options.get_database());
}
