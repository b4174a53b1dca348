//! The log's own connections.

use std::{sync::Arc, time::Duration};

use invalidation_core::{Error, ErrorKind};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, Row,
    mysql::{MySqlRow, MySqlSslMode},
};

use crate::{
    builder::Settings,
    error::{breaks_connection, error, from_sqlx, number},
    flavour::Flavour,
};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// An open connection, to one life of one server.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: MySqlConnection,
    pub(crate) flavour: Flavour,
    /// When the server was started, in seconds. A restart ends every connection, so it need not be asked for again.
    pub(crate) started: i64,
    /// The longest statement that the server takes.
    pub(crate) max_packet: usize,
    /// Whether the log's identity was looked at on this connection.
    pub(crate) is_known: bool,
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
        self.session = Some(session);
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
        let failed = |e| from_sqlx(operation, e);
        let options = self.settings.options.clone().disable_statement_logging();
        let mut connection = options
            .connect()
            .await
            .map_err(|e| not_connected(operation, options.get_ssl_mode(), e))?;
        let rows = raw(&mut connection, ASK.into()).await.map_err(failed)?;
        let version = rows.first().and_then(|row| text(row, 0)).unwrap_or("");
        let flavour = Flavour::of(operation, version)?;
        let variable = |name: &str| {
            let row = rows.iter().find(|row| text(row, 0) == Some(name))?;
            text(row, 1)
        };
        refuse_several_primaries(operation, variable)?;
        let max_packet = variable("max_allowed_packet").and_then(|bytes| bytes.parse().ok());

        let timeout = match self.role {
            Role::Reader => self.settings.read_timeout,
            Role::Writer => self.settings.write_timeout,
        };
        let set = format!(
            "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = 1, lock_wait_timeout = {}, {}; {}",
            timeout.as_secs().saturating_add(1),
            flavour.statement_timeout(timeout),
            flavour.started()
        );
        let rows = raw(&mut connection, set).await.map_err(failed)?;
        let started = rows.first().and_then(|row| text(row, 0));
        Ok(Session {
            connection,
            flavour,
            started: started
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or_default(),
            max_packet: max_packet.unwrap_or(usize::MAX),
            is_known: false,
        })
    }
}

/// The version, then variables.
const ASK: &str = "SELECT VERSION(); SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('max_allowed_packet', 'wsrep_on', 'group_replication_group_name', 'group_replication_single_primary_mode')";

/// Where there are several primaries a counter's lock on one is none on the others, and a read may lack what another
/// has committed.
fn refuse_several_primaries<'a>(
    operation: &'static str,
    variable: impl Fn(&str) -> Option<&'a str>,
) -> Result<(), Error> {
    let is_in_group = variable("group_replication_group_name").is_some_and(|name| !name.is_empty());
    let several = is_in_group && variable("group_replication_single_primary_mode") == Some("OFF");
    if variable("wsrep_on") != Some("ON") && !several {
        return Ok(());
    }
    Err(error(
        ErrorKind::Incompatible,
        operation,
        "this server is one of several primaries (Galera, or group replication without a single primary), which do not \
         share locks: use a server with one primary for the log",
    ))
}

fn not_connected(operation: &'static str, mode: MySqlSslMode, source: sqlx::Error) -> Error {
    let no_tls = matches!(mode, MySqlSslMode::Disabled | MySqlSslMode::Preferred);
    // What the driver says where a password would have to be sent in the clear.
    if no_tls && matches!(&source, sqlx::Error::Tls(e) if e.to_string().contains("RSA")) {
        return error(
            ErrorKind::Denied,
            operation,
            "the user's plugin, caching_sha2_password or sha256_password, sends the password over TLS alone: write \
             ssl-mode=REQUIRED into the URL, or better VERIFY_IDENTITY",
        )
        .with_source(source);
    }
    from_sqlx(operation, source)
}

impl Session {
    /// Runs statements without parameters in one message; the rows of all of them.
    pub(crate) async fn run(&mut self, sql: String) -> Result<Vec<MySqlRow>, sqlx::Error> {
        raw(&mut self.connection, sql).await
    }

    /// As [`run`](Self::run), for statements of one transaction: rolled back when one of them fails. `Err` within `Ok`
    /// when the server refused and the connection is as before.
    pub(crate) async fn transact(
        &mut self,
        sql: String,
    ) -> Result<Result<Vec<MySqlRow>, sqlx::Error>, sqlx::Error> {
        match self.run(sql).await {
            Ok(rows) => Ok(Ok(rows)),
            Err(e) if number(&e).is_some() && !breaks_connection(&e) => {
                self.run("ROLLBACK".into()).await?;
                Ok(Err(e))
            }
            Err(e) => Err(e),
        }
    }
}

/// Sends `sql` as one message of the text protocol.
pub(crate) async fn raw(
    connection: &mut MySqlConnection,
    sql: String,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await
}

/// A column's text; none for NULL, and for what is not UTF-8.
pub(crate) fn text(row: &MySqlRow, column: usize) -> Option<&str> {
    let bytes: Option<&[u8]> = row.try_get_unchecked(column).ok()?;
    std::str::from_utf8(bytes?).ok()
}

/// A column's number; none for NULL, and for what is none.
pub(crate) fn integer(row: &MySqlRow, column: usize) -> Option<i64> {
    text(row, column)?.parse().ok()
}

/// A text as SQL, whatever `sql_mode` says of quotes and backslashes.
pub(crate) fn literal(text: &str) -> String {
    use std::fmt::Write as _;
    let mut sql = String::from("CONVERT(X'");
    for byte in text.bytes() {
        // Writing to a String does not fail.
        let _ = write!(sql, "{byte:02x}");
    }
    sql.push_str("' USING utf8mb4)");
    sql
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
