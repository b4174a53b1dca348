//! How a log is opened.

use std::{fmt, sync::Arc, time::Duration};

use invalidation_core::{Error, ErrorKind};
use sqlx::{MySqlPool, mysql::MySqlConnectOptions};

use crate::{database_name::DatabaseName, error::error, log::MySqlLog};

/// Opens a [`MySqlLog`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct MySqlLogBuilder {
    options: Result<MySqlConnectOptions, &'static str>,
    database: Option<String>,
    read_timeout: Duration,
    write_timeout: Duration,
}

pub(crate) struct Settings {
    pub(crate) options: MySqlConnectOptions,
    pub(crate) database: DatabaseName,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

/// The longest timeout: an hour.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

impl MySqlLogBuilder {
    pub(crate) fn of_url(url: &str) -> Self {
        // The driver's own error may quote the URL. Its parser takes any scheme.
        let options = if url.starts_with("mysql://") || url.starts_with("mariadb://") {
            url.parse().map_err(|_| ())
        } else {
            Err(())
        };
        Self::new(options.map_err(|()| {
            "the URL cannot be used: write mysql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the \
             parts percent-encoded, and ssl-mode as DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
        }))
    }

    pub(crate) fn of_options(options: MySqlConnectOptions) -> Self {
        Self::new(Ok(options))
    }

    pub(crate) fn of_pool(pool: &MySqlPool) -> Self {
        Self::new(Ok(MySqlConnectOptions::clone(&pool.connect_options())))
    }

    fn new(options: Result<MySqlConnectOptions, &'static str>) -> Self {
        Self {
            options,
            database: None,
            read_timeout: Duration::from_millis(400),
            write_timeout: Duration::from_secs(4),
        }
    }

    /// The database that holds the log, when it is not the one that is connected to. One database is one cluster.
    /// Transactions on any database of the server can be joined to it.
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }

    /// The user's password, where the URL does not hold it.
    pub fn password(mut self, password: &str) -> Self {
        self.options = self.options.map(|options| options.password(password));
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

    /// Connects, so that what is wrong with the address, the server or the rights is told now. Nothing is written: that
    /// is for [`install`](invalidation_core::InvalidationLog::install), which a node calls when it starts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used, [`ErrorKind::Unavailable`] when the server cannot be
    /// reached, [`ErrorKind::Denied`] without the right to connect, [`ErrorKind::Incompatible`] for a server that is
    /// too old or has several primaries.
    pub async fn connect(self) -> Result<MySqlLog, Error> {
        let log = self.connect_later()?;
        log.reach("connect").await?;
        Ok(log)
    }

    /// As [`connect`](Self::connect), but whatever comes first connects: for a node that starts in bypass while the
    /// server cannot be reached. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used.
    pub fn connect_later(self) -> Result<MySqlLog, Error> {
        let refuse = |why: String| error(ErrorKind::Invalid, "connect", why);
        for (name, timeout) in [("read", self.read_timeout), ("write", self.write_timeout)] {
            if timeout.is_zero() || timeout > MAX_TIMEOUT {
                return Err(refuse(format!(
                    "the {name} timeout must be above zero and at most one hour"
                )));
            }
        }
        let options = self.options.map_err(|why| refuse(why.into()))?;
        let named = self.database.as_deref();
        let database = DatabaseName::parse(named.or(options.get_database()).unwrap_or_default())?;
        Ok(MySqlLog::start(Arc::new(Settings {
            options,
            database,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
        })))
    }
}

/// Without the password.
impl fmt::Debug for MySqlLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MySqlLogBuilder");
        if let Ok(options) = &self.options {
            show(&mut shown, options);
        }
        shown
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// Without the password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Settings");
        show(&mut shown, &self.options);
        shown
            .field("log", &self.database.as_str())
            .finish_non_exhaustive()
    }
}

fn show(shown: &mut fmt::DebugStruct<'_, '_>, options: &MySqlConnectOptions) {
    shown
        .field("host", &options.get_host())
        .field("port", &options.get_port())
        .field("user", &options.get_username())
        .field("database", &options.get_database());
}
