//! The harness of the MySQL log: a fresh database for each case, for an ordinary user, on a MariaDB that no other case uses
//! meanwhile.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use invalidation_conformance::{
    BusinessTransaction, Disruption, LogHarness, LogSpace, Stranger, Unable,
};
use invalidation_core::{Entry, Error, ErrorKind, JoinsLog, Position, SharedLog};
use invalidation_log_mysql::MySqlLog;
use invalidation_testbed::{Backend, Offer, Proxy, Required, Server};
use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, ConnectOptions, MySqlConnection, Row, mysql::MySqlConnectOptions};

/// What no error may show.
const PASSWORD: &str = "correct-horse-battery";
const WRONG_PASSWORD: &str = "wrong-horse-battery";

/// Long enough for a busy machine, and short enough for three calls within what a case waits for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Makes logs, each in a database of its own.
#[derive(Default)]
pub(crate) struct MySqlLogs {
    /// Servers that a case left as they were.
    idle: Arc<Mutex<Vec<Rig>>>,
}

/// A server and the way to it.
struct Rig {
    front: Proxy,
    server: Server,
    /// The replica that took over.
    replica: OnceLock<Server>,
}

impl Rig {
    fn start() -> Result<Self, invalidation_testbed::Error> {
        let server = Server::start(Backend::Mariadb)?;
        Ok(Self {
            front: Proxy::to(server.address())?,
            server,
            replica: OnceLock::new(),
        })
    }

    /// The server that is the primary now.
    fn primary(&self) -> &Server {
        self.replica.get().unwrap_or(&self.server)
    }
}

#[async_trait]
impl LogHarness for MySqlLogs {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let idle = self.idle.lock().pop();
        let rig = match idle {
            Some(rig) => rig,
            None => {
                let started =
                    Required::from_env().and_then(|required| required.decide(Rig::start()));
                match started.expect("the server starts") {
                    Offer::Here(rig) => rig,
                    Offer::Ignored(absent) => return Err(Unable::because(absent.to_string())),
                }
            }
        };
        let database = format!("case_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut admin = admin(&rig, "mysql").await;
        for sql in [
            format!("CREATE DATABASE {database}"),
            format!("CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY '{PASSWORD}'"),
            format!("CREATE USER IF NOT EXISTS weak@'%' IDENTIFIED BY '{PASSWORD}'"),
            format!("GRANT ALL ON {database}.* TO app@'%'"),
        ] {
            run(&mut admin, &sql).await;
        }
        let joined = log(rig.front.address(), "app", &database);
        let space = Space {
            rig: Some(rig),
            joined: Arc::new(joined),
            database,
            spoilt: AtomicBool::new(false),
            idle: Arc::clone(&self.idle),
        };
        run(
            &mut space.app().await,
            "CREATE TABLE business (name VARCHAR(100) PRIMARY KEY, value TEXT)",
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
    joined: Arc<MySqlLog>,
    /// Whether the servers are no longer as others want them.
    spoilt: AtomicBool,
    idle: Arc<Mutex<Vec<Rig>>>,
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Some(rig) = self.rig.take()
            && !self.spoilt.load(Ordering::Relaxed)
            && !std::thread::panicking()
        {
            self.idle.lock().push(rig);
        }
    }
}

impl Space {
    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("until it is dropped")
    }

    /// A connection of the service, on the same way as the log's.
    async fn app(&self) -> MySqlConnection {
        connect(&url(self.rig().front.address(), "app", &self.database)).await
    }

    async fn admin(&self) -> MySqlConnection {
        admin(self.rig(), &self.database).await
    }

    fn dump(&self) -> String {
        let folder = self.rig().server.folder();
        let file = folder.join(format!("{}.sql", self.database));
        file.to_string_lossy().into_owned()
    }

    /// Runs a client program as the administrator.
    fn program(&self, name: &str, arguments: &[&str], input: Stdio) {
        let program = Backend::Mariadb.program(name).expect("is installed");
        let port = self.rig().primary().address().port().to_string();
        let output = Command::new(program)
            .args(["--no-defaults", "-h127.0.0.1", "-uroot", "-P", &port])
            .args(arguments)
            .stdin(input)
            .output()
            .expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {arguments:?}: {error}");
    }

    fn server(&self, what: &str, done: Result<(), invalidation_testbed::Error>) {
        self.spoilt.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    /// A replica takes over, and the name leads to it.
    async fn fail_over(&self) {
        let rig = self.rig();
        let replica = Server::start(Backend::Mariadb).expect("a replica starts");
        let mut primary = connect(&Backend::Mariadb.url(rig.server.address())).await;
        let mut promoted = connect(&Backend::Mariadb.url(replica.address())).await;
        let port = rig.server.address().port();
        run(&mut promoted, "SET GLOBAL server_id = 2").await;
        run(&mut promoted, "SET GLOBAL gtid_slave_pos = ''").await;
        run(&mut promoted, "RESET MASTER").await;
        let follow = format!(
            "CHANGE MASTER TO master_host = '127.0.0.1', master_port = {port}, master_user = 'root', \
             master_use_gtid = slave_pos"
        );
        run(&mut promoted, &follow).await;
        run(&mut promoted, "START SLAVE").await;
        let rows = sqlx::raw_sql("SELECT @@global.gtid_binlog_pos")
            .fetch_one(&mut primary)
            .await
            .expect("a position");
        let position: String = rows.get(0);
        until(
            &mut promoted,
            &format!("SELECT MASTER_GTID_WAIT('{position}', 1) = 0"),
        )
        .await;
        self.server("kill", rig.server.kill());
        run(&mut promoted, "STOP SLAVE").await;
        rig.front.lead_to(replica.address());
        let first = rig.replica.set(replica);
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
        for table in ["log", "meta"] {
            let grant = format!("GRANT SELECT ON cache_invalidation_{table} TO weak@'%'");
            run(&mut admin, &grant).await;
        }
        Ok(Arc::new(log(
            self.rig().front.address(),
            "weak",
            &self.database,
        )))
    }

    async fn stranger(&self, stranger: Stranger) -> Result<Result<SharedLog, Error>, Unable> {
        let database = &self.database;
        let front = self.rig().front.address();
        let url = match stranger {
            Stranger::WrongSecret => {
                format!("mysql://app:{WRONG_PASSWORD}@{front}/{database}")
            }
            // The discard port, where nobody listens.
            Stranger::WrongHost => format!("mysql://app:{PASSWORD}@127.0.0.1:9/{database}"),
            Stranger::WrongTls => {
                format!("mysql://app:{PASSWORD}@{front}/{database}?ssl-mode=VERIFY_IDENTITY")
            }
            _ => {
                return Err(Unable::because(format!(
                    "the harness cannot make a stranger ({stranger:?})"
                )));
            }
        };
        Ok(MySqlLog::builder(&url)
            .connect_later()
            .map(|log| Arc::new(log) as SharedLog))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        let mut connection = self.app().await;
        run(&mut connection, "BEGIN").await;
        Ok(Box::new(Transaction {
            connection,
            log: Arc::clone(&self.joined),
        }))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        let rows = sqlx::query("SELECT value FROM business WHERE name = ?")
            .bind(key)
            .fetch_optional(&mut self.admin().await)
            .await
            .expect("the row is read");
        Ok(rows.map(|row| row.get(0)))
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        let unknown = "INSERT INTO cache_invalidation_log (cache, scope, items) \
                       VALUES ('users', 'prefixes', '[\"1\"]')";
        run(&mut self.app().await, unknown).await;
        Ok(())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        let rig = self.rig();
        match disruption {
            Disruption::Stop => self.server("stop", rig.primary().stop()),
            Disruption::Kill => self.server("kill", rig.primary().kill()),
            Disruption::Restart => self.server("restart", rig.primary().restart()),
            Disruption::Pause => self.server("pause", rig.primary().pause()),
            Disruption::Resume => self.server("resume", rig.primary().resume()),
            Disruption::Cut => rig.front.cut(),
            Disruption::BlackHole => rig.front.black_hole(),
            Disruption::Delay(by) => rig.front.delay(by),
            Disruption::Heal => rig.front.heal(),
            Disruption::Snapshot => {
                let result = format!("--result-file={}", self.dump());
                self.program("mariadb-dump", &[&result, &self.database], Stdio::null());
            }
            Disruption::Restore => {
                let dump = std::fs::File::open(self.dump()).expect("the dump is there");
                self.program("mariadb", &[&self.database], dump.into());
            }
            Disruption::Recreate => {
                let drop = "DROP TABLE cache_invalidation_log, cache_invalidation_meta";
                run(&mut self.admin().await, drop).await;
            }
            Disruption::DeleteAll => {
                run(
                    &mut self.admin().await,
                    "DELETE FROM cache_invalidation_log",
                )
                .await;
            }
            Disruption::DeleteNewest => {
                run(
                    &mut self.admin().await,
                    "DELETE FROM cache_invalidation_log ORDER BY id DESC LIMIT 1",
                )
                .await;
            }
            Disruption::FailOver => self.fail_over().await,
            Disruption::ReadOnly => {
                return Err(Unable::because(
                    "a read-only server is refused as a replica, for reads too: tests of the crate show it",
                ));
            }
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
        vec![PASSWORD.into(), WRONG_PASSWORD.into()]
    }
}

struct Transaction {
    connection: MySqlConnection,
    log: Arc<MySqlLog>,
}

impl Transaction {
    async fn run(&mut self, sql: &str) -> Result<(), Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "mysql", "transaction", e.to_string()))
    }
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let write =
            "INSERT INTO business VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)";
        sqlx::query(write)
            .bind(key)
            .bind(value)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "mysql", "write", e.to_string()))
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.connection.append_in(&self.log, entries).await
    }

    async fn execute(&mut self, sql: &str, parameter: &str) -> Result<u64, Unable> {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
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
        self.run("COMMIT").await
    }

    async fn roll_back(mut self: Box<Self>) -> Result<(), Error> {
        self.run("ROLLBACK").await
    }
}

fn url(address: SocketAddr, user: &str, database: &str) -> String {
    format!("mysql://{user}:{PASSWORD}@{address}/{database}?ssl-mode=DISABLED")
}

fn log(address: SocketAddr, user: &str, database: &str) -> MySqlLog {
    MySqlLog::builder(&url(address, user, database))
        .read_timeout(TIMEOUT)
        .write_timeout(TIMEOUT)
        .connect_later()
        .expect("good settings")
}

/// A connection of the administrator, straight to the primary.
async fn admin(rig: &Rig, database: &str) -> MySqlConnection {
    let address = rig.primary().address();
    connect(&format!("mysql://root@{address}/{database}")).await
}

async fn connect(url: &str) -> MySqlConnection {
    url.parse::<MySqlConnectOptions>()
        .expect("a good URL")
        .disable_statement_logging()
        .connect()
        .await
        .expect("a connection of the service")
}

async fn run(connection: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// Waits until the query says so.
async fn until(connection: &mut MySqlConnection, sql: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut *connection)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        let says = |row: &sqlx::mysql::MySqlRow| row.get::<Option<i64>, _>(0) == Some(1);
        if rows.first().is_some_and(says) {
            return;
        }
        assert!(Instant::now() < deadline, "never came true: {sql}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
