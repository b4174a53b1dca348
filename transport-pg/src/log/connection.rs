//! The log's own connections.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use invalidation_core::{Entry, Error, ErrorKind};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, ValueRef,
    postgres::{PgConnectOptions, PgRow},
};

use super::{
    builder::{Pooling, Settings},
    cursor::{Identity, Place},
    insert::{insert_as_text, insert_prepared},
    literal::inline,
    members::Pulse,
    schema_name::SchemaName,
};
use crate::error::{error, from_sqlx, refuses_parameter};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// How its statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// Prepared once. The session is the log's own, and its settings were made at its start.
    Prepared,
    /// As text, each in one message with its settings: a pooler gives the next message to another session, and
    /// parts of the extended protocol to different ones.
    Simple,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PgConnection,
    protocol: Protocol,
    timeout: Duration,
    /// Within a transaction that [`begin`](Self::begin) began: its settings hold until it ends.
    in_transaction: bool,
}

/// One connection, opened when it is needed.
///
/// It is taken out while it is used, and put back only when an answer was read to its end: a call that is dropped
/// or fails on the way leaves nothing half read behind.
#[derive(Debug)]
pub(crate) struct Slot {
    settings: Arc<Settings>,
    role: Role,
    session: Option<Session>,
}

/// Settings of a session that reads the log. A log is read along its index, whatever the planner believes of a table
/// that was never analysed.
pub(crate) const PLANS: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// Told to the server at the start of a session, and asked for again: a session behind a pooler does not know it.
const MARK: &str = "cache_invalidation.session";

impl Slot {
    pub(crate) fn new(settings: Arc<Settings>, role: Role) -> Self {
        Self {
            settings,
            role,
            session: None,
        }
    }

    /// The open connection, or a new one.
    pub(crate) async fn take(&mut self, operation: &'static str) -> Result<Session, Error> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => self.open(operation).await,
        }
    }

    pub(crate) fn put(&mut self, session: Session) {
        if !session.in_transaction {
            self.session = Some(session);
        }
    }

    /// Leaves the members, unless there is no connection.
    pub(crate) async fn leave(&mut self, pulse: &Pulse) {
        if let Some(mut session) = self.session.take() {
            let leaving = pulse.leave(&mut session, &self.settings.schema);
            if tokio::time::timeout(Duration::from_secs(1), leaving)
                .await
                .is_ok()
            {
                self.put(session);
            }
        }
    }

    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            let closing = session.connection.close();
            if !matches!(
                tokio::time::timeout(Duration::from_secs(1), closing).await,
                Ok(Ok(()))
            ) {
                tracing::debug!("closing a connection failed; it is dropped");
            }
        }
    }

    async fn open(&self, operation: &'static str) -> Result<Session, Error> {
        let settings = &self.settings;
        let timeout = match self.role {
            Role::Reader => settings.read_timeout,
            Role::Writer => settings.write_timeout,
        };
        let plain = settings.options.clone().disable_statement_logging();
        let session = |connection, protocol| Session {
            connection,
            protocol,
            timeout,
            in_transaction: false,
        };
        if settings.is_pooled() {
            let connection = connect(operation, &plain).await?;
            return Ok(session(connection, Protocol::Simple));
        }
        let mark = format!("{:016x}", rand::random::<u64>());
        let own = self.with_parameters(plain.clone(), timeout, &mark);
        let mut connection = match own.connect().await {
            Ok(connection) => connection,
            Err(e) if settings.pooling == Pooling::Detect && refuses_parameter(&e) => {
                tracing::info!("a pooler is in between: the simple protocol is used");
                settings.pooled.store(true, Ordering::Relaxed);
                let connection = connect(operation, &plain).await?;
                return Ok(session(connection, Protocol::Simple));
            }
            Err(e) => return Err(from_sqlx(operation, e)),
        };
        if settings.pooling == Pooling::Detect {
            let ask = format!("SELECT current_setting('{MARK}', true)");
            let rows = raw(&mut connection, ask).await;
            let rows = rows.map_err(|e| from_sqlx(operation, e))?;
            if rows.first().and_then(|row| text(row, 0)) != Some(&mark) {
                tracing::info!("a pooler is in between: the simple protocol is used");
                settings.pooled.store(true, Ordering::Relaxed);
                return Ok(session(connection, Protocol::Simple));
            }
        }
        Ok(session(connection, Protocol::Prepared))
    }

    fn with_parameters(
        &self,
        options: PgConnectOptions,
        timeout: Duration,
        mark: &str,
    ) -> PgConnectOptions {
        let milliseconds = milliseconds(timeout);
        let options = options.options([
            ("statement_timeout", milliseconds.as_str()),
            ("idle_in_transaction_session_timeout", "60000"),
            (MARK, mark),
        ]);
        match self.role {
            Role::Reader => options.options(PLANS),
            Role::Writer => options,
        }
    }
}

async fn connect(
    operation: &'static str,
    options: &PgConnectOptions,
) -> Result<PgConnection, Error> {
    options.connect().await.map_err(|e| from_sqlx(operation, e))
}

fn milliseconds(timeout: Duration) -> String {
    // Zero would mean without end.
    timeout.as_millis().clamp(1, 1 << 30).to_string()
}

impl Session {
    /// Whether each statement is sent as text, and so planned anew.
    pub(crate) fn sends_text(&self) -> bool {
        self.protocol == Protocol::Simple
    }

    /// Runs one statement of the log, planned as readers need it; all texts.
    pub(crate) async fn query(
        &mut self,
        sql: &Arc<str>,
        parameters: &[Option<&str>],
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        match self.protocol {
            Protocol::Prepared => {
                let mut query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
                for parameter in parameters {
                    query = query.bind(*parameter);
                }
                query.fetch_all(&mut self.connection).await
            }
            Protocol::Simple => {
                let text = self.settings() + &inline(sql, parameters);
                raw(&mut self.connection, text).await
            }
        }
    }

    /// Runs statements without parameters in one message; the rows of all of them.
    pub(crate) async fn try_run(&mut self, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        let text = self.settings() + sql;
        raw(&mut self.connection, text).await
    }

    pub(crate) async fn run(
        &mut self,
        operation: &'static str,
        sql: &str,
    ) -> Result<Vec<PgRow>, Error> {
        self.try_run(sql).await.map_err(|e| from_sqlx(operation, e))
    }

    /// Appends in one message.
    pub(crate) async fn insert<'a>(
        &mut self,
        schema: &SchemaName,
        log: Identity,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<Vec<Place>, sqlx::Error> {
        match self.protocol {
            Protocol::Prepared => insert_prepared(&mut self.connection, schema, log, entries).await,
            Protocol::Simple => {
                let settings = self.settings();
                insert_as_text(&mut self.connection, &settings, schema, log, entries).await
            }
        }
    }

    /// Begins a transaction. A session that fails or is dropped within it is not used again.
    pub(crate) async fn begin(&mut self, operation: &'static str) -> Result<(), Error> {
        self.in_transaction = true;
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}",
            milliseconds(self.timeout)
        );
        self.run(operation, &begin).await.map(|_| ())
    }

    pub(crate) async fn commit(&mut self, operation: &'static str) -> Result<(), Error> {
        self.run(operation, "COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Statements of one message are one transaction, and `SET LOCAL` holds within it.
    fn settings(&self) -> String {
        match self.protocol {
            Protocol::Simple if !self.in_transaction => format!(
                "SET LOCAL statement_timeout = {};",
                milliseconds(self.timeout)
            ),
            _ => String::new(),
        }
    }
}

/// Sends `sql` as one message of the simple protocol.
pub(crate) async fn raw(
    connection: &mut PgConnection,
    sql: String,
) -> Result<Vec<PgRow>, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await
}

/// A column's text; none for NULL, and for what is not UTF-8.
pub(crate) fn text(row: &PgRow, column: usize) -> Option<&str> {
    let value = row.try_get_raw(column).ok()?;
    if value.is_null() {
        return None;
    }
    value.as_str().ok()
}

/// Ends a call of the log that takes longer than `limit`: a link through which nothing comes would hold it for ever.
pub(crate) async fn bounded<T>(
    operation: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(error(
            ErrorKind::TimedOut,
            operation,
            format!("the server did not answer within {limit:?}"),
        )),
    }
}
