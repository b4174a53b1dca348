//! Servers, databases and reads.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use invalidation_core::{
    Completeness, Cursor, Entry, GapReason, Invalidation, InvalidationLog, LoggedEntry, Page,
    Payload, ReadRequest, ReadStart, Retry, Scope, Tick,
};
use invalidation_log_mysql::{MySqlLog, MySqlLogBuilder};
use invalidation_testbed::{Backend, Error, Offer, Required, Server};
use libtest_mimic::{Completion, Trial};
use sqlx::{
    AssertSqlSafe, ConnectOptions, MySqlConnection, Row,
    mysql::{MySqlConnectOptions, MySqlRow},
};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A trial on what `start` gives.
pub(crate) fn trial<S, F>(
    name: &'static str,
    start: impl FnOnce() -> Result<S, Error> + Send + 'static,
    body: impl FnOnce(S) -> F + Send + 'static,
) -> Trial
where
    S: 'static,
    F: Future<Output = ()>,
{
    Trial::ignorable_test(name, || match Required::from_env()?.decide(start())? {
        Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
        Offer::Here(server) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(body(server));
            Ok(Completion::Completed)
        }
    })
}

/// A MariaDB of the trial's own.
pub(crate) fn own() -> Result<Server, Error> {
    Server::start(Backend::Mariadb)
}

/// The MariaDB that all trials share.
pub(crate) fn shared() -> Result<&'static Server, Error> {
    invalidation_testbed::shared(Backend::Mariadb)
}

/// Makes an empty database on the server.
pub(crate) async fn database(server: &Server) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("trial_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut admin = connect(&url(server.address(), "mysql")).await;
    run(&mut admin, &format!("CREATE DATABASE {name}")).await;
    name
}

pub(crate) fn url(address: SocketAddr, database: &str) -> String {
    url_as("root", address, database)
}

pub(crate) fn url_as(user: &str, address: SocketAddr, database: &str) -> String {
    format!("mysql://{user}@{address}/{database}?ssl-mode=DISABLED")
}

/// A log with timeouts for a busy machine.
pub(crate) fn builder(url: &str) -> MySqlLogBuilder {
    MySqlLog::builder(url)
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
}

/// An installed log in the database.
pub(crate) async fn installed(url: &str) -> MySqlLog {
    let log = builder(url).connect().await.unwrap();
    log.install().await.unwrap();
    log
}

pub(crate) async fn connect(url: &str) -> MySqlConnection {
    let options: MySqlConnectOptions = url.parse().unwrap();
    options
        .disable_statement_logging()
        .connect()
        .await
        .unwrap_or_else(|e| panic!("{url}: {e}"))
}

/// Runs statements; the rows of all of them.
pub(crate) async fn run(connection: &mut MySqlConnection, sql: &str) -> Vec<MySqlRow> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// The first column of the first row.
pub(crate) async fn value<T>(connection: &mut MySqlConnection, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    run(connection, sql).await[0].get(0)
}

pub(crate) fn key(key: &str) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: "users".try_into().unwrap(),
        scope: Scope::keys([key]),
    })
}

/// The start of the read with this number.
pub(crate) const fn start(number: u64) -> ReadStart {
    ReadStart::new(Tick::from_nanos(number * 1_000), number)
}

/// Everything behind the cursor, and where it ends; asks again when the failure is temporary.
pub(crate) async fn drain(
    log: &MySqlLog,
    after: &Cursor,
) -> Result<(Vec<Entry>, Cursor), GapReason> {
    let deadline = Instant::now() + PATIENCE;
    let (mut all, mut cursor) = (Vec::new(), after.clone());
    loop {
        assert!(Instant::now() < deadline, "no read is complete");
        match log.read(ReadRequest::new(&cursor, start(1))).await {
            Ok(Page::Entries {
                entries,
                next,
                complete,
            }) => {
                all.extend(entries.into_iter().map(entry));
                cursor = next;
                if complete != Completeness::Partial {
                    return Ok((all, cursor));
                }
            }
            Ok(Page::Expired { reason, .. }) => return Err(reason),
            Ok(other) => panic!("{other:?}"),
            Err(e) if e.retry == Retry::Temporary => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(e) => panic!("{e}"),
        }
    }
}

pub(crate) fn entry(logged: LoggedEntry) -> Entry {
    match logged.payload {
        Payload::Entry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

/// Awaits until it gives something.
macro_rules! eventually {
    ($what:expr, $ask:expr $(,)?) => {{
        let deadline = std::time::Instant::now() + $crate::bed::PATIENCE;
        loop {
            if let Some(answer) = $ask {
                break answer;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "never came true: {}",
                $what
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}
pub(crate) use eventually;

/// A trial on the MariaDB that all trials share.
macro_rules! on_shared {
    ($test:ident) => {
        $crate::bed::trial(stringify!($test), $crate::bed::shared, |server| async {
            $test(server).await;
        })
    };
}
pub(crate) use on_shared;

/// A trial on a MariaDB of its own.
macro_rules! on_own {
    ($test:ident) => {
        $crate::bed::trial(stringify!($test), $crate::bed::own, |server| async move {
            $test(&server).await
        })
    };
}
pub(crate) use on_own;

/// An installed log in a database of its own, with its URL and the head.
pub(crate) async fn scene(server: &Server) -> (MySqlLog, String, Cursor) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let head = log.head().await.unwrap();
    (log, url, head)
}

/// An entry as words: `users keys 1 2`.
pub(crate) fn words(entry: &Entry) -> String {
    let Invalidation::Cache { cache, scope } = &entry.invalidation else {
        return "everything".into();
    };
    let (word, items) = match scope {
        Scope::All => return format!("clear {}", cache.as_str()),
        Scope::Keys(items) => ("keys", items),
        Scope::Tags(items) => ("tags", items),
    };
    format!("{} {word} {}", cache.as_str(), items.join(" "))
}

/// Another connection to the database of this one.
pub(crate) async fn connect_beside(connection: &mut MySqlConnection) -> MySqlConnection {
    let port = value::<i64>(connection, "SELECT CAST(@@port AS SIGNED)").await;
    let database: String = value(connection, "SELECT DATABASE()").await;
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
    connect(&url(address, &database)).await
}
