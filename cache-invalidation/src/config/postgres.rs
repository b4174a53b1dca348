//! The Postgres log: `log.url`, and `[log.postgres]`.

use super::{
    secret::Secret,
    sources,
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
        password: password(table),
        schema: table.text("schema").map(Into::into),
        pooling: pooling.unwrap_or_default(),
    })
}

/// The URL in `at`, whose password belongs in `table`.
pub(super) fn url<'t>(at: &'t Table<'_>, table: &Table<'_>) -> Option<&'t str> {
    let url = at.text("url")?;
    if holds_password(url) && at.provenance("url") == Some(Provenance::Text) {
        let password = table.path_of("password");
        at.refuse(
            "url",
            format!(
                "a password does not stand in the configuration itself: take it out, and name a file in \
                 {}_file, or set the variable {}",
                password.join("."),
                sources::variable(&password)
            ),
        );
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

/// Behind the user's name, or among the driver's options.
pub(super) fn holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
    let user = address.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || options.contains("password=")
}

/// From a variable or a file, never from the text of the configuration, which is copied, committed and shown.
pub(super) fn password(table: &Table<'_>) -> Option<Secret> {
    let (key, file_key) = ("password", "password_file");
    if table.has(key) && table.has(file_key) {
        table.refuse(file_key, "password is given too: take one of them out");
        return None;
    }
    if table.provenance(key) == Some(Provenance::Text) {
        table.refuse(
            key,
            format!(
                "a password does not stand in the configuration itself: name a file in {file_key}, or set the \
                 variable {}",
                sources::variable(&table.path_of(key))
            ),
        );
        return None;
    }
    if table.has(key) {
        let text = table.text(key)?;
        let password = Secret::new(text);
        if password.is_none() {
            table.refuse(key, "is empty: set it, or take it out");
        }
        return password;
    }
    if !table.has(file_key) {
        return None;
    }
    table.parsed(file_key, |path| Secret::read(path.as_ref()))
}
