//! The harness of the SQLite log: a fresh file for each case.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use invalidation_conformance::{BusinessTransaction, Disruption, LogHarness, LogSpace, Unable};
use invalidation_core::{
    Entry, Error, ErrorKind, InvalidationLog, JoinsLog, Nonce, Position, SharedLog,
};
use invalidation_log_sqlite::{Access, SqliteLog};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

/// The pages that handles may grow a file to: more than any case needs, and few enough to be filled quickly.
const MAX_PAGES: u32 = 1_200;

/// Makes SQLite logs, each in a folder of its own.
#[derive(Debug, Default)]
pub(crate) struct SqliteLogs;

#[async_trait]
impl LogHarness for SqliteLogs {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn fresh(&self) -> Result<Box<dyn LogSpace>, Unable> {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let disk = folder.path().join("disk");
        fs::create_dir(&disk).expect("a folder in it");
        let space = Space {
            path: disk.join("app.db"),
            folder,
        };
        make_database(&space.path).await;
        Ok(Box::new(space))
    }
}

struct Space {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Space {
    /// Takes the folder that the file is in away, as a disk that is unmounted, or brings it back.
    fn mount(&self, mounted: bool) {
        let at = self.folder.path().join("disk");
        let away = self.folder.path().join("away");
        let (from, to) = if mounted { (away, at) } else { (at, away) };
        fs::rename(from, to).expect("the folder is moved");
    }

    fn saved(&self) -> PathBuf {
        self.folder.path().join("saved.db")
    }

    /// Puts another file at the path, as a restore by `mv` does. Side files are left over while a connection is open on
    /// the old one.
    fn replace(&self, new: &Path) {
        for suffix in ["-wal", "-shm"] {
            let mut side = self.path.clone().into_os_string();
            side.push(suffix);
            let _absent = fs::remove_file(side);
        }
        fs::rename(new, &self.path).expect("the file is replaced");
    }

    async fn run(&self, sql: &str) {
        execute(&mut connect(&self.path).await, sql).await;
    }
}

#[async_trait]
impl LogSpace for Space {
    async fn connect(&self) -> Result<SharedLog, Unable> {
        // The machine may be busy, and SQLite's lock goes to whoever asks at the right moment.
        let log = SqliteLog::builder(&self.path)
            .append_timeout(Duration::from_secs(15))
            .max_pages(MAX_PAGES)
            .open()
            .await;
        Ok(std::sync::Arc::new(log.expect("the file is opened")))
    }

    async fn connect_without_rights(&self) -> Result<SharedLog, Unable> {
        let log = SqliteLog::builder(&self.path)
            .access(Access::ReadOnly)
            .open()
            .await;
        Ok(std::sync::Arc::new(log.expect("the file is opened")))
    }

    async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        let mut connection = connect(&self.path).await;
        execute(&mut connection, "BEGIN IMMEDIATE").await;
        let log = SqliteLog::builder(&self.path).open_later();
        Ok(Box::new(Transaction {
            connection,
            log: log.expect("a good path"),
        }))
    }

    fn concurrent_transactions(&self) -> Result<(), Unable> {
        Err(Unable::because("SQLite has one writer at a time"))
    }

    async fn row(&self, key: &str) -> Result<Option<String>, Unable> {
        let value = sqlx::query_scalar("SELECT value FROM business WHERE key = ?")
            .bind(key)
            .fetch_optional(&mut connect(&self.path).await)
            .await;
        Ok(value.expect("the row is read"))
    }

    async fn write_unknown_row(&self) -> Result<(), Unable> {
        self.run(
            "INSERT INTO cache_invalidation_log (cache, scope, items) VALUES ('users', 'prefixes', '[\"1\"]')",
        )
        .await;
        Ok(())
    }

    async fn writes(&self) -> Result<u64, Unable> {
        Ok(transactions_in_wal(&self.path))
    }

    async fn stored(&self) -> Result<Vec<Nonce>, Unable> {
        let nonces = sqlx::query_scalar("SELECT nonce FROM cache_invalidation_log")
            .fetch_all(&mut connect(&self.path).await)
            .await;
        let nonces: Vec<i64> = nonces.expect("the rows are read");
        let nonce = |nonce: i64| Nonce(nonce.cast_unsigned());
        Ok(nonces.into_iter().map(nonce).collect())
    }

    async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        match disruption {
            Disruption::Snapshot => {
                let _absent = fs::remove_file(self.saved());
                self.run(&format!("VACUUM INTO '{}'", self.saved().display()))
                    .await;
            }
            Disruption::Restore => self.replace(&self.saved()),
            Disruption::Recreate => {
                let new = self.folder.path().join("new.db");
                make_database(&new).await;
                let log = SqliteLog::open(&new).await.expect("the file is opened");
                log.install().await.expect("installs");
                log.close().await.expect("closes");
                self.replace(&new);
            }
            Disruption::DeleteAll => self.run("DELETE FROM cache_invalidation_log").await,
            Disruption::DeleteNewest => {
                let newest = "SELECT max(id) FROM cache_invalidation_log";
                self.run(&format!(
                    "DELETE FROM cache_invalidation_log WHERE id = ({newest})"
                ))
                .await;
            }
            Disruption::Trim { keep } => {
                self.run(&format!(
                    "DELETE FROM cache_invalidation_log WHERE id NOT IN
                        (SELECT id FROM cache_invalidation_log ORDER BY id DESC LIMIT {keep})"
                ))
                .await;
            }
            Disruption::Fill => {
                self.run(&format!(
                    "CREATE TABLE filler AS SELECT zeroblob({MAX_PAGES} * 4096) AS room"
                ))
                .await;
            }
            Disruption::Empty => self.run("DROP TABLE filler").await,
            Disruption::Cut => self.mount(false),
            Disruption::Heal => self.mount(true),
            Disruption::ReadOnly => {
                return Err(Unable::because(
                    "a process that has the file open writes to it whatever its mode becomes",
                ));
            }
            _ => return Err(Unable::because("SQLite has no server")),
        }
        Ok(())
    }
}

struct Transaction {
    connection: SqliteConnection,
    log: SqliteLog,
}

impl Transaction {
    async fn run(&mut self, sql: &str) -> Result<(), Error> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "sqlite", "transaction", e.to_string()))
    }
}

#[async_trait]
impl BusinessTransaction for Transaction {
    async fn write_row(&mut self, key: &str, value: &str) -> Result<(), Error> {
        sqlx::query("INSERT OR REPLACE INTO business VALUES (?, ?)")
            .bind(key)
            .bind(value)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|e| Error::new(ErrorKind::Other, "sqlite", "write", e.to_string()))
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.connection.append_in(&self.log, entries).await
    }

    async fn execute(&mut self, sql: &str, parameter: &str) -> Result<u64, Unable> {
        let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
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

/// How many transactions the write-ahead log holds: its last frame of each carries the size of the database
/// (<https://sqlite.org/fileformat2.html#walformat>). It begins anew after 1,000 pages.
fn transactions_in_wal(path: &Path) -> u64 {
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let wal = fs::read(wal).expect("the write-ahead log is there while the log is open");
    let Some((header, frames)) = wal.split_at_checked(HEADER) else {
        return 0;
    };
    let page = u32::from_be_bytes(header[8..12].try_into().expect("four bytes"));
    let frames = frames.chunks_exact(FRAME_HEADER + page as usize);
    let commits = frames.filter(|frame| frame[8..16] == header[16..24] && frame[4..8] != [0; 4]);
    commits.count() as u64
}

/// The service's own database, which has no log yet.
async fn make_database(path: &Path) {
    let business =
        "PRAGMA journal_mode = WAL; CREATE TABLE business (key TEXT PRIMARY KEY, value TEXT)";
    execute(&mut connect(path).await, business).await;
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(15))
        .disable_statement_logging()
        .connect()
        .await
        .expect("a connection of the service")
}

async fn execute(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}
