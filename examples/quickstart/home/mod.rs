//! Where rows and log are: an SQLite file of its own, a schema or database of its own on a server, or rows in the file and
//! the log on a broker.

mod broker;
mod mysql;
mod postgres;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use cache_invalidation::{CacheName, InvalidationLog, Node, NodeBuilder, sqlite};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

pub(crate) use self::{
    broker::{Broker, Kind},
    mysql::MySqlHome,
    postgres::PostgresHome,
};
use crate::{
    child::{CACHE, CLUSTER},
    database::Database,
    proxy::Way,
};

/// The rows, and the log beside them or elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Home {
    pub(crate) rows: Rows,
    /// Who holds the log, when that is not with the rows.
    pub(crate) broker: Option<Broker>,
}

/// Where the rows are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Rows {
    Sqlite(PathBuf),
    Postgres(PostgresHome),
    MySql(MySqlHome),
}

impl Home {
    /// What `--log` says; by default a file in `folder`.
    pub(crate) fn of(log: Option<&str>, folder: &Path) -> anyhow::Result<Self> {
        let file = Rows::Sqlite(folder.join("items.db"));
        let beside = |rows| Self { rows, broker: None };
        let Some(url) = log else {
            return Ok(beside(file));
        };
        let scheme = url.split(':').next().unwrap_or_default();
        Ok(match scheme {
            "postgres" | "postgresql" => beside(Rows::Postgres(PostgresHome::new(url)?)),
            "mysql" | "mariadb" => beside(Rows::MySql(MySqlHome::new(url)?)),
            _ => match Broker::of(url)? {
                Some(broker) => Self {
                    rows: file,
                    broker: Some(broker),
                },
                None => bail!(
                    "--log takes postgres://USER@HOST:PORT/DATABASE, mysql://USER@HOST:PORT, redis://HOST:PORT, \
                     nats://HOST:PORT or etcd://HOST:PORT, and {scheme}: is something else; without it the log is an \
                     SQLite file"
                ),
            },
        })
    }

    /// A name of its own on a server that others use, too.
    fn fresh_name() -> String {
        format!("quickstart_{:08x}", rand::random::<u32>())
    }

    pub(crate) async fn open(&self) -> anyhow::Result<Database> {
        Ok(match &self.rows {
            Rows::Sqlite(file) => {
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
            Rows::Postgres(home) => Database::Postgres(home.pool().await?),
            Rows::MySql(home) => Database::MySql(home.pool().await?),
        })
    }

    /// The host and the port of the log, where it is no file.
    pub(crate) fn log_server(&self) -> anyhow::Result<Option<(String, u16)>> {
        if let Some(broker) = &self.broker {
            return broker.server().map(Some);
        }
        match &self.rows {
            Rows::Sqlite(_) => Ok(None),
            Rows::Postgres(home) => home.server().map(Some),
            Rows::MySql(home) => home.server().map(Some),
        }
    }

    /// A node with this log, over the way that can be taken from it.
    pub(crate) async fn with_log(
        &self,
        node: NodeBuilder,
        way: Option<&Way>,
    ) -> anyhow::Result<NodeBuilder> {
        if let Some(broker) = &self.broker {
            return broker.with_log(node, way).await;
        }
        Ok(match (&self.rows, way) {
            (Rows::Sqlite(_), Some(Way::File(file))) | (Rows::Sqlite(file), _) => {
                node.log(sqlite::SqliteLog::open(file).await?)
            }
            (Rows::Postgres(home), way) => node.log(home.log(way)?.connect().await?),
            (Rows::MySql(home), way) => node.log(home.log(way)?.connect().await?),
        })
    }

    /// A node without a cache and without a transport, by which a program invalidates that caches nothing.
    pub(crate) async fn log_alone(&self) -> anyhow::Result<Node> {
        let node = self.with_log(Node::builder(CLUSTER), None).await?;
        Ok(node.start().await?)
    }

    /// Whether any program's `UPDATE` invalidates; else who writes from outside appends by himself.
    pub(crate) const fn has_triggers(&self) -> bool {
        self.broker.is_none()
    }

    /// What an operator does once: from now on every `UPDATE` of the rows invalidates.
    pub(crate) async fn attach(&self) -> anyhow::Result<()> {
        let cache = CacheName::new(CACHE)?;
        match &self.rows {
            Rows::Sqlite(file) => {
                let log = sqlite::SqliteLog::open(file).await?;
                let items = sqlite::Attach::to(cache).key("{id}");
                log.attach("items", &items).await?;
                Ok(log.close().await?)
            }
            Rows::Postgres(home) => home.attach(cache).await,
            Rows::MySql(home) => home.attach(cache).await,
        }
    }

    /// Makes what holds the tables, where it is not a file.
    pub(crate) async fn build(&self) -> anyhow::Result<()> {
        match &self.rows {
            Rows::Sqlite(_) => Ok(()),
            Rows::Postgres(home) => home.build().await,
            Rows::MySql(home) => home.build().await,
        }
    }

    /// Takes out what it made, where that is not a file.
    pub(crate) async fn raze(&self) -> anyhow::Result<()> {
        if let Some(broker) = &self.broker {
            broker.raze().await?;
        }
        match &self.rows {
            Rows::Sqlite(_) => Ok(()),
            Rows::Postgres(home) => home.raze().await,
            Rows::MySql(home) => home.raze().await,
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rows {
            Rows::Sqlite(_) => "one SQLite file",
            Rows::Postgres(_) => "one PostgreSQL database",
            Rows::MySql(_) => "one MySQL or MariaDB database",
        })?;
        match &self.broker {
            Some(broker) => write!(f, ", the log in {broker}, and"),
            None => Ok(()),
        }
    }
}
