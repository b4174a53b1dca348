//! The harness of the PostgreSQL log: a fresh database for each case, owned by an ordinary user, on a server that no
//! other case uses meanwhile.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use invalidation_conformance::{BusinessTransaction, Disruption, LogHarness, LogSpace, Unable};
use invalidation_core::{Entry, Error, ErrorKind, JoinsLog, Nonce, Position, SharedLog};
use invalidation_testbed::{Backend, Offer, Proxy, Required, Server};
use invalidation_transport_pg::PgLog;
use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row, postgres::PgConnectOptions};

/// What no error may show. The servers ask for none, and clients send it if they are asked.
const PASSWORD: &str = "correct-horse-battery";

/// Long enough for a busy machine, and short enough for three calls within what a case waits for.
const TIMEOUT: Duration = Duration::from_secs(6);

/// How the log reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Directly.
    Direct,
    /// Through pgbouncer in transaction mode.
    Pooled,
}

/// Makes logs, each in a database of its own.
pub(crate) struct PostgresLogs {
    way: Way,
    /// Servers that a case left as they were.
    idle: Arc<Mutex<Vec<Rig>>>,
}

impl PostgresLogs {
    pub(crate) fn new(way: Way) -> Self {
        Self {
            way,
            idle: Arc::default(),
        }
    }
}

/// A server and the way to it: front, pgbouncer if there is one, back, server.
struct Rig {
    front: Proxy,
    _pooler: Option<Server>,
    back: Proxy,
    server: Server,
    /// The standby that took over.
    standby: OnceLock<Server>,
    /// Whether the server takes no calls, or no writes, until that is mended.
    is_broken: AtomicBool,
    /// That of the newest case.
    database: Option<String>,
}

impl Rig {
    fn start(way: Way) -> Result<Self, invalidation_testbed::Error> {
        let server = Server::start(Backend::Postgres)?;
        let back = Proxy::to(server.address())?;
        let pooler = match way {
            Way::Direct => None,
            Way::Pooled => Some(Server::pgbouncer(back.address())?),
        };
        let before = pooler.as_ref().map_or(back.address(), Server::address);
        Ok(Self {
            front: Proxy::to(before)?,
            _pooler: pooler,
            back,
            server,
            standby: OnceLock::new(),
            is_broken: AtomicBool::new(false),
            database: None,
        })
    }

    /// What every case finds.
    async fn prepare(&self) {
        let mut admin = admin(self, "postgres").await;
        // Its own transactions would be seen in snapshots, and make them unlike from run to run.
        run(&mut admin, "ALTER SYSTEM SET autovacuum = off").await;
        run(&mut admin, "SELECT pg_reload_conf()").await;
        run(&mut admin, "CREATE ROLE app LOGIN").await;
        run(&mut admin, "CREATE ROLE weak LOGIN").await;
    }

    /// A fresh database instead of that of the case before, with all that still goes on there, and with the
    /// connections that a pooler keeps: a server has room for so many, and a standby copies everything.
    async fn fresh_database(&mut self, name: String) {
        let mut admin = admin(self, "postgres").await;
        run(&mut admin, &format!("CREATE DATABASE {name} OWNER app")).await;
        if let Some(old) = self.database.replace(name) {
            run(&mut admin, &format!("DROP DATABASE {old} WITH (FORCE)")).await;
        }
    }

    /// Whether it serves another case as it did this one.
    fn is_whole(&self) -> bool {
        !self.is_broken.load(Ordering::Relaxed) && self.standby.get().is_none()
    }

    /// The server that is the primary now.
    fn primary(&self) -> &Server {
        self.standby.get().unwrap_or(&self.server)
    }
}

#[async_trait]
impl LogHarness for PostgresLogs {
    fn name(&self) -> &'static str {
        match self.way {
            Way::Direct => "postgres",
            Way::Pooled => "pgbouncer",
        }
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let idle = self.idle.lock().pop();
        let mut rig = match idle {
            Some(rig) => rig,
            None => {
                let started =
                    Required::from_env().and_then(|required| required.decide(Rig::start(self.way)));
                match started.expect("the servers start") {
                    Offer::Here(rig) => {
                        rig.prepare().await;
                        rig
                    }
                    Offer::Ignored(absent) => return Err(Unable::because(absent.to_string())),
                }
            }
        };
        let database = format!("case_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        rig.fresh_database(database.clone()).await;
        let joined = log(rig.front.address(), "app", &database);
        let space = Space {
            rig: Some(rig),
            joined: Arc::new(joined),
            database,
            idle: Arc::clone(&self.idle),
            readers: Connections::default(),
            writers: Connections::default(),
        };
        run(
            &mut space.app().await,
            "CREATE TABLE business (key text PRIMARY KEY, value text)",
        )
        .await;
        Ok(Box::new(space))
    }
}

struct Space {
    /// There until it is dropped.
    rig: Option<Rig>,
    database: String,
    /// The log that business transactions are joined to.
    joined: Arc<PgLog>,
    idle: Arc<Mutex<Vec<Rig>>>,
    /// Of the administrator, for rows.
    readers: Connections,
    /// Of the service, for transactions.
    writers: Connections,
}

/// Connections that nobody uses now: a service has a pool as well, and a connection for each row would be most of what a
/// case waits for. What became of them while the server was away shows when one is used.
type Connections = Arc<Mutex<Vec<PgConnection>>>;

impl Drop for Space {
    fn drop(&mut self) {
        if let Some(rig) = self.rig.take()
            && rig.is_whole()
            && !std::thread::panicking()
        {
            rig.front.heal();
            self.idle.lock().push(rig);
        }
    }
}

impl Space {
    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("until it is dropped")
    }

    /// A connection of the service, on the same way as the log's.
    async fn app(&self) -> PgConnection {
        connect(&url(self.rig().front.address(), "app", &self.database)).await
    }

    async fn admin(&self) -> PgConnection {
        admin(self.rig(), &self.database).await
    }

    fn dump(&self) -> String {
        let folder = self.rig().server.folder();
        let file = folder.join(format!("{}.sql", self.database));
        file.to_string_lossy().into_owned()
    }

    /// Runs a program of PostgreSQL as the administrator.
    fn program(&self, name: &str, arguments: &[&str]) {
        let program = Backend::Postgres.program(name).expect("is installed");
        let output = Command::new(program)
            .args([
                "-d",
                &url(self.rig().primary().address(), "postgres", &self.database),
            ])
            .args(arguments)
            .output()
            .expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {arguments:?}: {error}");
    }

    fn breaks(&self, what: &str, done: Result<(), invalidation_testbed::Error>) {
        self.rig().is_broken.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    fn mends(&self, what: &str, done: Result<(), invalidation_testbed::Error>) {
        done.unwrap_or_else(|e| panic!("{what}: {e}"));
        self.rig().is_broken.store(false, Ordering::Relaxed);
    }

    async fn make_read_only(&self, read_only: bool) {
        self.rig().is_broken.store(true, Ordering::Relaxed);
        let value = if read_only { "on" } else { "off" };
        let mut admin = self.admin().await;
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        run(&mut admin, &set).await;
        run(&mut admin, "SELECT pg_reload_conf()").await;
        let is_set = format!("SELECT current_setting('default_transaction_read_only') = '{value}'");
        until(&mut admin, &is_set).await;
        self.rig().is_broken.store(read_only, Ordering::Relaxed);
    }

    /// A standby takes over, and the name leads to it.
    async fn fail_over(&self) {
        let rig = self.rig();
        let standby = Server::standby(rig.server.address()).expect("a standby starts");
        self.breaks("kill", rig.server.kill());
        let mut promoted = connect(&url(standby.address(), "postgres", "postgres")).await;
        run(&mut promoted, "SELECT pg_promote()").await;
        rig.back.lead_to(standby.address());
        let first = rig.standby.set(standby);
        first.expect("there is one failover in a case");
    }
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        Ok(Arc::new(log(
            self.rig().front.address(),
            "app",
            &self.database,
        )))
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        let mut admin = self.admin().await;
        for grant in [
            "GRANT USAGE ON SCHEMA cache_invalidation TO weak",
            "GRANT SELECT ON ALL TABLES IN SCHEMA cache_invalidation TO weak",
            "GRANT EXECUTE ON FUNCTION cache_invalidation.page(text[]) TO weak",
        ] {
            run(&mut admin, grant).await;
        }
        Ok(Arc::new(log(
            self.rig().front.address(),
            "weak",
            &self.database,
        )))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        let idle = self.writers.lock().pop();
        let begun = match idle {
            Some(mut idle) => sqlx::raw_sql("BEGIN")
                .execute(&mut idle)
                .await
                .map(|_| idle),
            None => Err(sqlx::Error::PoolClosed),
        };
        let connection = match begun {
            Ok(connection) => connection,
            Err(_) => {
                let mut connection = self.app().await;
                run(&mut connection, "BEGIN").await;
                connection
            }
        };
        Ok(Box::new(Transaction {
            connection,
            log: Arc::clone(&self.joined),
            idle: Arc::clone(&self.writers),
        }))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        let idle = self.readers.lock().pop();
        if let Some(mut idle) = idle
            && let Ok(row) = value_of(&mut idle, key).await
        {
            self.readers.lock().push(idle);
            return Ok(row);
        }
        let mut fresh = self.admin().await;
        let row = value_of(&mut fresh, key).await;
        self.readers.lock().push(fresh);
        Ok(row.expect("the row is read"))
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        let unknown = "INSERT INTO cache_invalidation.log (cache, scope, items) \
                       VALUES ('users', 'prefixes', '[\"1\"]')";
        run(&mut self.app().await, unknown).await;
        Ok(())
    }

    async fn writes(&self) -> Result<u64, Unable> {
        let count = "SELECT count(DISTINCT xid) FROM cache_invalidation.log";
        let count: i64 = sqlx::query_scalar(count)
            .fetch_one(&mut self.admin().await)
            .await
            .expect("the rows are counted");
        Ok(count.cast_unsigned())
    }

    async fn stored(&self) -> Result<Vec<Nonce>, Unable> {
        let nonces: Vec<i64> = sqlx::query_scalar("SELECT nonce FROM cache_invalidation.log")
            .fetch_all(&mut self.admin().await)
            .await
            .expect("the rows are read");
        let nonce = |nonce: i64| Nonce(nonce.cast_unsigned());
        Ok(nonces.into_iter().map(nonce).collect())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        for connections in [&self.readers, &self.writers] {
            connections.lock().clear(); // They may be silent for ever.
        }
        let rig = self.rig();
        match disruption {
            Disruption::Stop => self.breaks("stop", rig.primary().stop()),
            Disruption::Kill => self.breaks("kill", rig.primary().kill()),
            Disruption::Restart => self.mends("restart", rig.primary().restart()),
            Disruption::Pause => self.breaks("pause", rig.primary().pause()),
            Disruption::Resume => self.mends("resume", rig.primary().resume()),
            Disruption::Cut => rig.front.cut(),
            Disruption::BlackHole => rig.front.black_hole(),
            Disruption::Delay(by) => rig.front.delay(by),
            Disruption::Heal => rig.front.heal(),
            Disruption::ReadOnly => self.make_read_only(true).await,
            Disruption::Writable => self.make_read_only(false).await,
            Disruption::Snapshot => {
                self.program("pg_dump", &["--clean", "--if-exists", "-f", &self.dump()]);
            }
            Disruption::Restore => {
                let dump = self.dump();
                self.program("psql", &["-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", &dump]);
            }
            Disruption::Recreate => {
                run(
                    &mut self.admin().await,
                    "DROP SCHEMA cache_invalidation CASCADE",
                )
                .await;
            }
            Disruption::DeleteAll => {
                run(
                    &mut self.admin().await,
                    "DELETE FROM cache_invalidation.log",
                )
                .await;
            }
            Disruption::DeleteNewest => {
                run(
                    &mut self.admin().await,
                    "DELETE FROM cache_invalidation.log WHERE id = (SELECT max(id) FROM cache_invalidation.log)",
                )
                .await;
            }
            Disruption::Trim { keep } => {
                let trim = format!(
                    "DELETE FROM cache_invalidation.log WHERE (xid, id) NOT IN (SELECT xid, id
                         FROM cache_invalidation.log ORDER BY xid DESC, id DESC LIMIT {keep})"
                );
                run(&mut self.admin().await, &trim).await;
            }
            Disruption::FailOver => self.fail_over().await,
            Disruption::Fill => {
                return Err(Unable::because(
                    "the harness has no small disk for a server",
                ));
            }
            _ => {
                return Err(Unable::because(format!(
                    "the harness cannot {disruption:?}"
                )));
            }
        }
        Ok(())
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into()]
    }
}

struct Transaction {
    connection: PgConnection,
    log: Arc<PgLog>,
    /// Where its connection goes when it has ended; one that is dropped closes it.
    idle: Connections,
}

impl Transaction {
    async fn run(&mut self, sql: &str) -> Result<(), Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "postgres", "transaction", e.to_string()))
    }
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let write =
            "INSERT INTO business VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2";
        sqlx::query(write)
            .persistent(false)
            .bind(key)
            .bind(value)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "postgres", "write", e.to_string()))
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.connection.append_in(&self.log, entries).await
    }

    async fn execute(&mut self, sql: &str, parameter: &str) -> Result<u64, Unable> {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .persistent(false)
            .bind(parameter)
            .execute(&mut self.connection)
            .await;
        Ok(done.expect("the statement runs").rows_affected())
    }

    async fn savepoint(&mut self) -> Result<(), Unable> {
        self.run("SAVEPOINT here").await.expect("a savepoint");
        Ok(())
    }

    async fn roll_back_to_savepoint(&mut self) -> Result<(), Unable> {
        let back = self.run("ROLLBACK TO here").await;
        back.expect("goes back to the savepoint");
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.run("COMMIT").await?;
        self.idle.lock().push(self.connection);
        Ok(())
    }

    async fn roll_back(mut self: Box<Self>) -> Result<(), Error> {
        self.run("ROLLBACK").await?;
        self.idle.lock().push(self.connection);
        Ok(())
    }
}

async fn value_of(connection: &mut PgConnection, key: &str) -> sqlx::Result<Option<String>> {
    let row = sqlx::query("SELECT value FROM business WHERE key = $1")
        .persistent(false)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.get(0)))
}

fn url(address: SocketAddr, user: &str, database: &str) -> String {
    format!("postgres://{user}:{PASSWORD}@{address}/{database}?sslmode=disable")
}

fn log(address: SocketAddr, user: &str, database: &str) -> PgLog {
    PgLog::builder(&url(address, user, database))
        .read_timeout(TIMEOUT)
        .write_timeout(TIMEOUT)
        .connect_later()
        .expect("good settings")
}

/// A connection of the administrator, straight to the primary.
async fn admin(rig: &Rig, database: &str) -> PgConnection {
    connect(&url(rig.primary().address(), "postgres", database)).await
}

async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>()
        .expect("a good URL")
        .disable_statement_logging()
        .connect()
        .await
        .expect("a connection of the service")
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// Waits until the query says `true`.
async fn until(connection: &mut PgConnection, sql: &str) {
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
