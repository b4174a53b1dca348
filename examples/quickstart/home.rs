//! Where rows and log are: an SQLite file of its own, or a schema of its own in a PostgreSQL database.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

use crate::database::Database;

/// The rows, and the log beside them.
#[derive(Debug, Clone)]
pub(crate) enum Home {
    Sqlite(PathBuf),
    Postgres(PostgresHome),
}

/// A schema of a PostgreSQL database.
#[derive(Clone)]
pub(crate) struct PostgresHome {
    pub(crate) url: String,
    pub(crate) schema: String,
}

impl Home {
    /// What `--log` says; by default a file in `folder`.
    pub(crate) fn of(log: Option<&str>, folder: &Path) -> anyhow::Result<Self> {
        match log.map(|url| (url, url.split(':').next().unwrap_or_default())) {
            None => Ok(Self::Sqlite(folder.join("items.db"))),
            Some((url, "postgres" | "postgresql")) => {
                let home = PostgresHome {
                    url: url.into(),
                    schema: format!("quickstart_{:08x}", rand::random::<u32>()),
                };
                home.server()?;
                Ok(Self::Postgres(home))
            }
            Some((_, scheme)) => bail!(
                "--log takes postgres://USER@HOST:PORT/DATABASE, and {scheme}: is something else; without it the log \
                 is an SQLite file"
            ),
        }
    }

    pub(crate) async fn open(&self) -> anyhow::Result<Database> {
        Ok(match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .busy_timeout(Duration::from_secs(5));
                let pool = SqlitePoolOptions::new()
                    .max_connections(4)
                    .connect_with(options)
                    .await
                    .with_context(|| format!("cannot open the database {}", file.display()))?;
                Database::Sqlite(pool)
            }
            Self::Postgres(home) => {
                let options = home.options()?;
                let options = options.options([("search_path", home.schema.as_str())]);
                let pool = PgPoolOptions::new()
                    .max_connections(4)
                    .connect_with(options)
                    .await
                    .context("cannot connect to the database of --log")?;
                Database::Postgres(pool)
            }
        })
    }

    /// Makes what holds the tables, where it is not a file.
    pub(crate) async fn build(&self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(home) => home.run(&format!("CREATE SCHEMA {}", home.schema)).await,
        }
    }

    /// Takes out what it made, where that is not a file.
    pub(crate) async fn raze(&self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(home) => {
                home.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", home.schema))
                    .await
            }
        }
    }
}

impl PostgresHome {
    pub(crate) fn options(&self) -> anyhow::Result<PgConnectOptions> {
        // The driver's own error may quote the URL.
        let options: Result<PgConnectOptions, _> = self.url.parse();
        let options = options.ok().context("the URL of --log cannot be used")?;
        Ok(options.disable_statement_logging())
    }

    /// The host and the port.
    pub(crate) fn server(&self) -> anyhow::Result<(String, u16)> {
        let options = self.options()?;
        let host = options.get_host().to_owned();
        if options.get_socket().is_some() || host.starts_with('/') {
            bail!("--log needs a host and a port: links to it are cut, and a socket's cannot be");
        }
        Ok((host, options.get_port()))
    }

    /// The same database, over another way.
    pub(crate) fn through(&self, proxy: SocketAddr) -> anyhow::Result<PgConnectOptions> {
        let options = self.options()?;
        Ok(options.host(&proxy.ip().to_string()).port(proxy.port()))
    }

    async fn run(&self, sql: &str) -> anyhow::Result<()> {
        let options = self.options()?;
        let mut connection: PgConnection = options
            .connect()
            .await
            .context("cannot connect to the database of --log")?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "one SQLite file",
            Self::Postgres(_) => "one PostgreSQL database",
        })
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for PostgresHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHome")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
