//! Connections, and what is run on them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use invalidation_transport_pg::PgLog;
use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row, postgres::PgConnectOptions};

/// What no error may show. The servers ask for none, and clients send it if they are asked.
pub(super) const PASSWORD: &str = "correct-horse-battery";

/// Long enough for a busy machine, and short enough for three calls within what a case waits for.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Connections that nobody uses now: a service has a pool as well, and a connection for each row would be most of what a
/// case waits for. What became of them while the server was away shows when one is used.
pub(super) type Connections = Arc<Mutex<Vec<PgConnection>>>;

pub(super) fn url(address: SocketAddr, user: &str, database: &str) -> String {
    format!("postgres://{user}:{PASSWORD}@{address}/{database}?sslmode=disable")
}

pub(super) fn log(address: SocketAddr, user: &str, database: &str) -> PgLog {
    PgLog::builder(&url(address, user, database))
        .read_timeout(TIMEOUT)
        .write_timeout(TIMEOUT)
        .connect_later()
        .expect("good settings")
}

pub(super) async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>()
        .expect("a good URL")
        .disable_statement_logging()
        .connect()
        .await
        .expect("a connection of the service")
}

pub(super) async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// Waits until the query says `true`.
pub(super) async fn until(connection: &mut PgConnection, sql: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut *connection)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        if rows.first().is_some_and(|row| row.get::<bool, _>(0)) {
            return;
        }
        assert!(Instant::now() < deadline, "never came true: {sql}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
