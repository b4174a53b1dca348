//! A PostgreSQL of the bench's own, on free ports in a fresh folder, that ends with it.

use anyhow::Context as _;
use invalidation_testbed::{Backend, Server};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _, postgres::PgConnectOptions,
};
use tokio::task::spawn_blocking;

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
