//! A database of its own on a MySQL or MariaDB server.

use std::fmt;

use anyhow::{Context, bail};
use cache_invalidation::{
    CacheName, InvalidationLog,
    mysql::{Attach, MySqlLog, MySqlLogBuilder},
};
use serde::{Deserialize, Serialize};
use sqlx::{
    ConnectOptions, Connection, MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};

use super::Home;
use crate::proxy::Way;

/// A database of a MySQL or MariaDB server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MySqlHome {
    url: String,
    database: String,
}

impl MySqlHome {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let home = Self {
            url: url.into(),
            database: Home::fresh_name(),
        };
        home.server()?;
        Ok(home)
    }

    fn options(&self) -> anyhow::Result<MySqlConnectOptions> {
        // The driver's own error may quote the URL.
        let options: Result<MySqlConnectOptions, _> = self.url.parse();
        let options = options.ok().context("the URL of --log cannot be used")?;
        Ok(options.disable_statement_logging())
    }

    /// The host and the port.
    pub(super) fn server(&self) -> anyhow::Result<(String, u16)> {
        let options = self.options()?;
        if options.get_socket().is_some() {
            bail!("--log needs a host and a port: links to it are cut, and a socket's cannot be");
        }
        Ok((options.get_host().to_owned(), options.get_port()))
    }

    pub(super) fn log(&self, way: Option<&Way>) -> anyhow::Result<MySqlLogBuilder> {
        let options = self.options()?.database(&self.database);
        Ok(MySqlLog::with_options(match way {
            Some(Way::Proxy(proxy)) => options.host(&proxy.ip().to_string()).port(proxy.port()),
            _ => options,
        }))
    }

    pub(super) async fn pool(&self) -> anyhow::Result<MySqlPool> {
        MySqlPoolOptions::new()
            .max_connections(4)
            .connect_with(self.options()?.database(&self.database))
            .await
            .context("cannot connect to the database of --log")
    }

    pub(super) async fn attach(&self, cache: CacheName) -> anyhow::Result<()> {
        let log = self.log(None)?.connect().await?;
        log.attach("items", &Attach::to(cache).key("{id}")).await?;
        Ok(log.close().await?)
    }

    pub(super) async fn build(&self) -> anyhow::Result<()> {
        self.run(&format!("CREATE DATABASE {}", self.database))
            .await
    }

    pub(super) async fn raze(&self) -> anyhow::Result<()> {
        self.run(&format!("DROP DATABASE IF EXISTS {}", self.database))
            .await
    }

    async fn run(&self, sql: &str) -> anyhow::Result<()> {
        let mut connection: MySqlConnection = self
            .options()?
            .connect()
            .await
            .context("cannot connect to the server of --log")?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for MySqlHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlHome")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
