//! A connection that follows its path: when another file stands there, it is opened anew.

use std::sync::Arc;

use invalidation_core::{Error, ErrorKind};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use crate::{
    builder::{Access, Durability, Settings},
    cursor::LogId,
    error::{error, from_io, from_sqlx},
    file_identity::FileIdentity,
};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// An open connection and the file it was opened on.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) connection: SqliteConnection,
    pub(crate) file: FileIdentity,
    /// The log's id as this connection last saw it.
    pub(crate) log: Option<LogId>,
}

/// One connection, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Slot {
    settings: Arc<Settings>,
    role: Role,
    handle: Option<Handle>,
}

/// Whether a missing file may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Create,
    Refuse,
}

/// How often opening is tried while the path keeps changing under it.
const ATTEMPTS: u32 = 5;

impl Slot {
    pub(crate) fn new(settings: Arc<Settings>, role: Role) -> Self {
        Self {
            settings,
            role,
            handle: None,
        }
    }

    /// The connection on the file that stands at the path *now*. A file that was replaced would otherwise be
    /// read for ever through the old inode, without an error (`P10`).
    pub(crate) async fn ready(
        &mut self,
        operation: &'static str,
        missing: Missing,
    ) -> Result<&mut Handle, Error> {
        let here = match FileIdentity::of(&self.settings.path) {
            Ok(here) => Some(here),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && missing == Missing::Create => {
                None
            }
            Err(e) => return Err(self.unreachable(operation, e)),
        };
        let handle = match self.handle.take() {
            Some(handle) if Some(handle.file) == here => handle,
            old => {
                if let Some(old) = old {
                    tracing::warn!(path = %self.settings.path.display(), "the log's file was replaced");
                    drop(old);
                }
                self.open(operation, here).await?
            }
        };
        Ok(self.handle.insert(handle))
    }

    /// Forgets the connection: the next call opens another.
    pub(crate) fn discard(&mut self) {
        self.handle = None;
    }

    pub(crate) async fn close(&mut self) {
        if let Some(handle) = self.handle.take()
            && let Err(e) = handle.connection.close().await
        {
            tracing::debug!(error = %e, "closing a connection failed; it is dropped");
        }
    }

    async fn open(
        &self,
        operation: &'static str,
        mut before: Option<FileIdentity>,
    ) -> Result<Handle, Error> {
        let options = self.options();
        for _ in 0..ATTEMPTS {
            let connection = options
                .clone()
                .create_if_missing(before.is_none())
                .connect()
                .await
                .map_err(|e| self.unopened(operation, e))?;
            let after = FileIdentity::of(&self.settings.path)
                .map_err(|e| self.unreachable(operation, e))?;
            // Equal on both sides of the open, so it is the file that was opened. A file that was just
            // created is opened once more, since another process may have created it as well.
            if before == Some(after) {
                return Ok(Handle {
                    connection,
                    file: after,
                    log: None,
                });
            }
            before = Some(after);
        }
        Err(error(
            ErrorKind::Unavailable,
            operation,
            format!(
                "{} is being replaced again and again: wait until it stands still",
                self.settings.path.display()
            ),
        ))
    }

    fn options(&self) -> SqliteConnectOptions {
        let settings = &self.settings;
        let options = SqliteConnectOptions::new()
            .filename(&settings.path)
            .read_only(settings.access == Access::ReadOnly)
            .disable_statement_logging();
        match self.role {
            Role::Reader => options
                .busy_timeout(settings.read_timeout)
                .thread_name(|_| "invalidation-log-reader".into()),
            Role::Writer => {
                let options = options
                    .busy_timeout(settings.append_timeout)
                    .synchronous(match settings.durability {
                        Durability::PowerLoss => SqliteSynchronous::Full,
                        Durability::ProcessCrash => SqliteSynchronous::Normal,
                    })
                    .thread_name(|_| "invalidation-log-writer".into());
                match settings.max_pages {
                    Some(pages) => options.pragma("max_page_count", pages.to_string()),
                    None => options,
                }
            }
        }
    }

    /// SQLite's own words do not say which file, and whoever configured it has to know.
    fn unopened(&self, operation: &'static str, source: sqlx::Error) -> Error {
        let mut error = from_sqlx(operation, source);
        error.message = format!("{}: {}", self.settings.path.display(), error.message).into();
        error
    }

    fn unreachable(&self, operation: &'static str, source: std::io::Error) -> Error {
        from_io(operation, &self.settings.path.display().to_string(), source)
    }
}
