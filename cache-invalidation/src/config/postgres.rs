//! The Postgres log: `log.url`, and `[log.postgres]`.

use super::{
    credential::{PASSWORD, belongs_apart, holds_password},
    secret::Secret,
    table::{Provenance, Table},
    tls,
};

/// The Postgres log: `log.url`, and `[log.postgres]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// `postgres://USER@HOST:PORT/DATABASE`, with options of the driver such as `sslmode` behind a `?`.
    pub url: Secret,
    /// The password, if it is given apart from the URL. The driver knows `PGPASSWORD` and `.pgpass`, too.
    pub password: Option<Secret>,
    /// The schema that holds the log. Default `cache_invalidation`.
    pub schema: Option<String>,
    /// What stands between the process and the server. Default: found out.
    pub pooling: PoolingChoice,
    /// The `sslmode` by which the link is not verified, which only `insecure_tls = true` allows.
    pub insecure_tls: Option<&'static str>,
}

/// What stands between the process and the server: `log.postgres.pooling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoolingChoice {
    /// `detect`: found out at each connection.
    #[default]
    Detect,
    /// `direct`: nothing.
    Direct,
    /// `transaction`: a pooler in transaction mode.
    Transaction,
}

pub(super) fn parse(log: &Table<'_>, table: &Table<'_>) -> Option<PostgresConfig> {
    let url = url(log, table)?;
    let pooling = table.one_of(
        "pooling",
        &[
            ("detect", PoolingChoice::Detect),
            ("direct", PoolingChoice::Direct),
            ("transaction", PoolingChoice::Transaction),
        ],
    );
    let (url, insecure_tls) = tls::guard_postgres(url, log, table)?;
    Some(PostgresConfig {
        url: Secret::new(url)?,
        insecure_tls,
        password: PASSWORD.read(table),
        schema: table.text("schema").map(Into::into),
        pooling: pooling.unwrap_or_default(),
    })
}

/// The URL in `at`, whose password belongs in `table`.
pub(super) fn url<'t>(at: &'t Table<'_>, table: &Table<'_>) -> Option<&'t str> {
    let url = at.text("url")?;
    if holds_password(url) && at.provenance("url") == Some(Provenance::Text) {
        at.refuse("url", belongs_apart(table));
        return None;
    }
    let is_postgres = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if !is_postgres {
        at.refuse("url", "write `postgres://USER@HOST:PORT/DATABASE`");
        return None;
    }
    Some(url)
}
