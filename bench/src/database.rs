//! A PostgreSQL of the bench's own, on free ports in a fresh folder, that ends with it.

use std::{
    io::{Seek as _, Write as _},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use invalidation_testbed::{Backend, Server};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _, postgres::PgConnectOptions,
};
use tokio::task::spawn_blocking;

use crate::report::median;

/// A server that keeps what it acknowledged, as in production: with `fsync` and `synchronous_commit`.
pub(crate) struct Database {
    server: Server,
}

impl Database {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = spawn_blocking(|| Server::start(Backend::Postgres)).await??;
        let database = Self { server };
        let mut admin = database.connect().await?;
        for setting in [
            "fsync = on",
            "max_connections = 600",
            "max_wal_size = '4GB'",
        ] {
            run(&mut admin, &format!("ALTER SYSTEM SET {setting}")).await?;
        }
        drop(admin);
        let server = spawn_blocking(move || database.server.restart().map(|()| database.server));
        let database = Self {
            server: server.await??,
        };
        let mut admin = database.connect().await?;
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value: String = sqlx::query(AssertSqlSafe(format!("SHOW {setting}")))
                .fetch_one(&mut admin)
                .await?
                .get(0);
            anyhow::ensure!(value == "on", "{setting} is {value}");
        }
        Ok(database)
    }

    /// Makes each flush of the server's log take so much longer, by a setting of its own: who flushes sleeps first, as the
    /// leader of all that commit at that moment.
    pub(crate) async fn delay_flushes(&self, delay: Option<Duration>) -> anyhow::Result<()> {
        let mut admin = self.connect().await?;
        let micros = delay.unwrap_or_default().as_micros();
        run(
            &mut admin,
            &format!("ALTER SYSTEM SET commit_delay = {micros}"),
        )
        .await?;
        run(&mut admin, "ALTER SYSTEM SET commit_siblings = 0").await?;
        run(&mut admin, "SELECT pg_reload_conf()").await?;
        for _ in 0..500 {
            let mut seen = self.connect().await?;
            let value: String =
                sqlx::query("SELECT setting FROM pg_settings WHERE name = 'commit_delay'")
                    .fetch_one(&mut seen)
                    .await?
                    .get(0);
            if value == micros.to_string() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the server does not take its new settings")
    }

    /// What the disk of the server's folder takes to keep a page of its log: the median of some.
    pub(crate) fn flush_nanos(&self) -> anyhow::Result<f64> {
        let mut file = tempfile::tempfile_in(self.server.folder())?;
        let page = [7_u8; 8_192];
        let mut nanos = Vec::new();
        for _ in 0..300 {
            let start = Instant::now();
            file.rewind()?;
            file.write_all(&page)?;
            file.sync_data()?;
            nanos.push(start.elapsed().as_nanos() as f64);
        }
        Ok(median(&mut nanos))
    }

    /// A pooler in transaction mode in front of it.
    pub(crate) async fn pooler(&self) -> anyhow::Result<Server> {
        let address = self.server.address();
        Ok(spawn_blocking(move || Server::pgbouncer(address)).await??)
    }

    pub(crate) fn url(&self) -> String {
        url(&self.server)
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        connect(&self.url()).await
    }

    /// Processor time that the server has used until now, in seconds, by the processes that it has now.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let mut ticks = 0.0;
        for process in self.server.processes() {
            // One that has just ended has used next to nothing.
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", process.id())) else {
                continue;
            };
            let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
            for field in fields.split_whitespace().skip(11).take(2) {
                ticks += field.parse::<f64>()?;
            }
        }
        Ok(ticks / per_second)
    }
}

pub(crate) fn url(server: &Server) -> String {
    format!(
        "postgres://postgres@{}/postgres?sslmode=disable",
        server.address()
    )
}

pub(crate) async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.disable_statement_logging().connect().await?)
}

/// Runs statements as one message.
pub(crate) async fn run(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .with_context(|| sql.to_owned())?;
    Ok(())
}
