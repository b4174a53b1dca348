//! A schema of its own in a PostgreSQL database.

use std::fmt;

use anyhow::{Context, bail};
use cache_invalidation::{
    CacheName, InvalidationLog,
    postgres::{Attach, PgLog, PgLogBuilder},
};
use serde::{Deserialize, Serialize};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::Home;
use crate::proxy::Way;

/// A schema of a PostgreSQL database.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PostgresHome {
    url: String,
    pub(crate) schema: String,
}

impl PostgresHome {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let home = Self {
            url: url.into(),
            schema: Home::fresh_name(),
        };
        home.server()?;
        Ok(home)
    }

    fn options(&self) -> anyhow::Result<PgConnectOptions> {
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
    pub(crate) fn through(&self, way: Option<&Way>) -> anyhow::Result<PgConnectOptions> {
        let options = self.options()?;
        Ok(match way {
            Some(Way::Proxy(proxy)) => options.host(&proxy.ip().to_string()).port(proxy.port()),
            _ => options,
        })
    }

    pub(super) fn log(&self, way: Option<&Way>) -> anyhow::Result<PgLogBuilder> {
        Ok(PgLog::with_options(self.through(way)?).schema(&self.schema))
    }

    pub(super) async fn pool(&self) -> anyhow::Result<PgPool> {
        let options = self.options()?;
        let options = options.options([("search_path", self.schema.as_str())]);
        PgPoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .context("cannot connect to the database of --log")
    }

    pub(super) async fn attach(&self, cache: CacheName) -> anyhow::Result<()> {
        let log = self.log(None)?.connect().await?;
        let items = Attach::to(cache).key("{id}");
        log.attach(&format!("{}.items", self.schema), &items)
            .await?;
        Ok(log.close().await?)
    }

    pub(super) async fn build(&self) -> anyhow::Result<()> {
        self.run(&format!("CREATE SCHEMA {}", self.schema)).await
    }

    pub(super) async fn raze(&self) -> anyhow::Result<()> {
        self.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema))
            .await
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

/// Without the URL, which may hold a password.
impl fmt::Debug for PostgresHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHome")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
