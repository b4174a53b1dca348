//! The connection that listens.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Executor as _,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use tokio::runtime;

/// A listener on a connection of its own. It never reconnects, and dropping it ends the connection at once.
pub(super) struct Link {
    /// `None` only while it is dropped.
    listener: Option<PgListener>,
}

impl Link {
    /// Connects. The driver's listener takes its connection from a pool: this one has no other, keeps none, and runs
    /// no task.
    pub(super) async fn connect(
        options: PgConnectOptions,
        limit: Duration,
    ) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(limit)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        Ok(Self {
            listener: Some(listener),
        })
    }

    /// The next notification; `None` when the server ended the connection. After that, or an error, it is of no more
    /// use: another call would connect again. Cancel-safe, since the driver takes whole messages out of its buffer.
    pub(super) async fn next(&mut self) -> Result<Option<PgNotification>, sqlx::Error> {
        match &mut self.listener {
            Some(listener) => listener.try_recv().await,
            None => Ok(None),
        }
    }

    /// What has come already, while a statement ran.
    pub(super) fn buffered(&mut self) -> Option<PgNotification> {
        self.listener.as_mut()?.next_buffered()
    }

    /// Runs a statement of the simple protocol, and drops its rows. Notifications that come meanwhile are kept. Not
    /// cancel-safe: one that was dropped leaves the connection of no use.
    pub(super) async fn run(&mut self, sql: String) -> Result<(), sqlx::Error> {
        match &mut self.listener {
            Some(listener) => listener.execute(AssertSqlSafe(sql)).await.map(drop),
            None => Err(sqlx::Error::PoolClosed),
        }
    }
}

impl Drop for Link {
    /// The driver's listener says goodbye from a task that it spawns, which waits for an answer: over a silent link for
    /// as long as the kernel keeps the connection, a quarter of an hour and more. So it is dropped within a runtime that
    /// never runs, whose end takes the task and the connection with it.
    fn drop(&mut self) {
        let Ok(idle) = runtime::Builder::new_current_thread().build() else {
            return;
        };
        {
            let _within = idle.enter();
            self.listener = None;
        }
        idle.shutdown_background();
    }
}
