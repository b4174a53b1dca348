//! A node process: does what it reads on its standard input, line by line, and ends with it.

use std::{
    io::{BufRead, Write},
    path::PathBuf,
    time::Duration,
};

use cache_invalidation::{BoxError, Cache, Node, config::Config};
use rustix::process::{Signal, getpid, kill_process};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

/// Where the configuration is.
pub const CONFIG: &str = "CACHE_INVALIDATION_TEST_CONFIG";
/// Where the database is.
pub const DATABASE: &str = "CACHE_INVALIDATION_TEST_DATABASE";
/// What each answer begins with, to tell it from what the test harness prints.
pub const ANSWER: &str = "answer: ";

pub fn run() {
    let Some(config) = std::env::var_os(CONFIG) else {
        return; // All ignored tests were asked for; nobody started it as a process.
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let process = runtime.block_on(Process::start(config.into()));
    answer("ready");
    for line in std::io::stdin().lock().lines() {
        let told = runtime.block_on(process.obey(&line.unwrap()));
        answer(&told.unwrap_or_else(|error| format!("error: {error}")));
    }
    runtime
        .block_on(process.node.shutdown(Duration::from_secs(5)))
        .unwrap();
}

fn answer(text: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{ANSWER}{text}").unwrap();
    stdout.flush().unwrap();
}

struct Process {
    node: Node,
    users: Cache<i64, String>,
    database: PathBuf,
}

impl Process {
    async fn start(config: PathBuf) -> Self {
        let config = Config::from_file(config).unwrap();
        let node = config.start().await.unwrap();
        // No TTL that a test could wait for.
        let users = node
            .cache("users")
            .capacity(1_000)
            .ttl(Duration::from_secs(3_600))
            .build()
            .unwrap();
        let database = std::env::var_os(DATABASE).unwrap().into();
        Self {
            node,
            users,
            database,
        }
    }

    async fn obey(&self, line: &str) -> Result<String, BoxError> {
        let mut words = line.splitn(3, ' ');
        let (verb, key, value) = (words.next(), words.next(), words.next());
        let key: i64 = key.unwrap_or_default().parse()?;
        let value = value.unwrap_or_default();
        match verb {
            Some("read") => Ok(self.users.get_or_load(&key, || self.load(key)).await?),
            Some("holds") => Ok(self.users.peek(&key).is_some().to_string()),
            Some("write") => {
                let mut connection = self.connect().await?;
                let mut tx = begin(&mut connection).await?;
                update(&mut tx, key, value).await?;
                let pending = self.users.invalidate_in(&mut tx, [&key]).await?;
                pending.commit(tx.commit()).await?;
                Ok("written".into())
            }
            Some("write_and_die") => {
                let mut connection = self.connect().await?;
                let mut tx = begin(&mut connection).await?;
                update(&mut tx, key, value).await?;
                let _never_told = self.users.invalidate_in(&mut tx, [&key]).await?;
                tx.commit().await?;
                kill_process(getpid(), Signal::KILL)?;
                std::future::pending().await
            }
            Some("invalidate") => {
                self.users.invalidate(&key).await?;
                Ok("invalidated".into())
            }
            _ => Err(format!("cannot obey {line:?}").into()),
        }
    }

    async fn load(&self, key: i64) -> Result<String, sqlx::Error> {
        let mut connection = self.connect().await?;
        let name: Option<String> = sqlx::query_scalar("SELECT name FROM users WHERE id = ?")
            .bind(key)
            .fetch_optional(&mut connection)
            .await?;
        Ok(name.unwrap_or_else(|| "nobody".into()))
    }

    /// Anew each time, so that it is the file that stands there now.
    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnectOptions::new()
            .filename(&self.database)
            .busy_timeout(Duration::from_secs(20))
            .connect()
            .await
    }
}

async fn begin(
    connection: &mut SqliteConnection,
) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>, sqlx::Error> {
    sqlx::Connection::begin_with(connection, "BEGIN IMMEDIATE").await
}

async fn update(
    tx: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
    key: i64,
    name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO users (id, name) VALUES (?, ?) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    )
    .bind(key)
    .bind(name)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
