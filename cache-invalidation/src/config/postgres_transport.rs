//! The Postgres transport: `[transport.postgres]`.

use std::time::Duration;

use super::{
    backend::Backend,
    credential::PASSWORD,
    frames::{self, FramesConfig},
    log::LogChoice,
    postgres::{self, PoolingChoice},
    secret::Secret,
    table::Table,
    tls,
};

/// `[transport.postgres]`. `None` leaves a key to the transport's default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresTransportConfig {
    /// `postgres://USER@HOST:PORT/DATABASE`: directly to the primary, not through a pooler in transaction mode.
    pub url: Secret,
    /// The password, if it is given apart from the URL.
    pub password: Option<Secret>,
    /// The `sslmode` by which the link is not verified, which only `insecure_tls = true` allows.
    pub insecure_tls: Option<&'static str>,
    /// Whether only nodes of this cluster may connect to the database.
    pub authenticated: bool,
    /// How long one frame may take.
    pub publish_timeout: Option<Duration>,
    /// How soon a silent link is found lost.
    pub notices_loss_within: Option<Duration>,
    /// How many frames may wait for the node.
    pub buffered_frames: Option<usize>,
}

pub(super) fn parse(table: &Table<'_>, log: Option<&LogChoice>) -> Option<PostgresTransportConfig> {
    if let Err(why) = Backend::Postgres.check("transport") {
        table.refuse_all(why);
        return None;
    }
    let FramesConfig {
        authenticated,
        publish_timeout,
        notices_loss_within,
        buffered_frames,
    } = frames::parse(table);
    let password = PASSWORD.read(table);
    let server = if table.has("url") {
        let (url, insecure_tls) = tls::guard_postgres(postgres::url(table, table)?, table, table)?;
        Server {
            url: Secret::new(url)?,
            password,
            insecure_tls,
        }
    } else {
        let server = of_log(table, log)?;
        Server {
            password: password.or(server.password),
            ..server
        }
    };
    Some(PostgresTransportConfig {
        url: server.url,
        password: server.password,
        insecure_tls: server.insecure_tls,
        authenticated,
        publish_timeout,
        notices_loss_within,
        buffered_frames,
    })
}

/// Where it connects to.
struct Server {
    url: Secret,
    password: Option<Secret>,
    insecure_tls: Option<&'static str>,
}

/// That of the log, where notifications can come through.
fn of_log(table: &Table<'_>, log: Option<&LogChoice>) -> Option<Server> {
    let ask = |why: &str| {
        table.missing("url", why);
        None
    };
    match log {
        // What is wrong with it has been said.
        None => None,
        Some(LogChoice::Postgres(log)) if log.pooling == PoolingChoice::Transaction => ask(
            "the log goes through a pooler in transaction mode, behind which no notification comes: name a URL that \
             goes to the server directly",
        ),
        Some(LogChoice::Postgres(log)) => {
            if table.has("insecure_tls") {
                table.refuse(
                    "insecure_tls",
                    "is for a url of the transport's own: that of the log has log.postgres.insecure_tls",
                );
            }
            Some(Server {
                url: log.url.clone(),
                password: log.password.clone(),
                insecure_tls: log.insecure_tls,
            })
        }
        Some(_) => {
            ask("the log is in no Postgres database: write `postgres://USER@HOST:PORT/DATABASE`")
        }
    }
}
