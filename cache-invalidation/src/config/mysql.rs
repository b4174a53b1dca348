//! The log on MySQL and MariaDB: `log.url`, and `[log.mysql]`.

use super::{
    credential::{PASSWORD, belongs_apart, holds_password},
    secret::Secret,
    table::{Provenance, Table},
    tls,
};

/// The log on MySQL and MariaDB: `log.url`, and `[log.mysql]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MySqlConfig {
    /// `mysql://USER@HOST:PORT/DATABASE`, with options of the driver such as `ssl-mode` behind a `?`.
    pub url: Secret,
    /// The password, if it is given apart from the URL.
    pub password: Option<Secret>,
    /// The database that holds the log. Default: that of the URL.
    pub database: Option<String>,
    /// The `ssl-mode` by which the link is not verified, which only `insecure_tls = true` allows.
    pub insecure_tls: Option<&'static str>,
}

pub(super) fn parse(log: &Table<'_>, table: &Table<'_>) -> Option<MySqlConfig> {
    let url = log.text("url")?;
    if holds_password(url) && log.provenance("url") == Some(Provenance::Text) {
        log.refuse("url", belongs_apart(table));
        return None;
    }
    if !url.contains("://") {
        log.refuse("url", "write `mysql://USER@HOST:PORT/DATABASE`");
        return None;
    }
    let (url, insecure_tls) = tls::guard_mysql(url, log, table)?;
    Some(MySqlConfig {
        url: Secret::new(url)?,
        insecure_tls,
        password: PASSWORD.read(table),
        database: table.text("database").map(Into::into),
    })
}
