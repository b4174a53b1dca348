//! The servers: where they are, who the client is to them, and a link to one of them. Both the transport and the log
//! reach them through here.

mod address;
mod credentials;
mod link;
mod protection;
mod settings;
mod tls;

use std::{fmt, time::Duration};

use async_nats::ConnectOptions;
use invalidation_core::{Error, ErrorKind};
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, timeout, timeout_at};

use self::{address::Address, credentials::Credentials, tls::Tls};
use crate::error::{error, from_connect, timed_out};

pub(crate) use link::{Heard, Link};
pub use protection::Protection;
pub(crate) use settings::{Draft, server_setters};

const NAME: &str = "cache-invalidation";

/// Checked settings.
#[derive(Clone)]
pub(crate) struct Server {
    servers: Vec<Address>,
    requires_tls: bool,
    tls: Tls,
    credentials: Option<Credentials>,
}

/// What a link is to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// How long connecting may take, whatever number of servers is tried.
    pub(crate) within: Duration,
    /// A link over which nothing came for so long is found lost, at the latest.
    pub(crate) notices_loss_within: Duration,
    /// How many messages may wait for the reader of a subscription before the client drops them.
    pub(crate) capacity: usize,
}

impl Server {
    /// A new link to one of the servers, in any order; each gets an equal share of the time. What is heard on it beside
    /// messages is given to `heard`, which must not block. It never connects again: once it is lost, whatever used it
    /// fails.
    ///
    /// # Errors
    /// Of those that refused or did not answer, what most needs an operator.
    pub(crate) async fn connect(
        &self,
        operation: &'static str,
        wish: Wish,
        heard: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Link, Error> {
        let deadline = Instant::now() + wish.within;
        let options = match timeout_at(deadline, self.options(operation)).await {
            Ok(options) => options?,
            Err(_) => return Err(timed_out(operation, wish.within)),
        };
        let heard = std::sync::Arc::new(heard);
        let mut servers = self.servers.clone();
        servers.shuffle(&mut rand::rng());
        let mut left = u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let mut failed: Option<Error> = None;
        for server in &servers {
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            left = left.saturating_sub(1).max(1);
            let heard = std::sync::Arc::clone(&heard);
            let opening = Link::open(server, options.clone(), wish, share, move |what| {
                heard(what)
            });
            let error = match timeout(share, opening).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(source)) => from_connect(operation, source),
                Err(_) => timed_out(operation, share),
            };
            if failed.as_ref().is_none_or(|known| !is_telling(known)) {
                failed = Some(error);
            }
        }
        Err(failed.unwrap_or_else(|| timed_out(operation, wish.within)))
    }

    /// Each of the servers alone.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        self.servers.iter().map(|server| Self {
            servers: vec![server.clone()],
            ..self.clone()
        })
    }

    async fn options(&self, operation: &'static str) -> Result<ConnectOptions, Error> {
        let mut options = ConnectOptions::new().name(NAME);
        if self.requires_tls {
            let tls = self.tls.clone();
            let config = tokio::task::spawn_blocking(move || tls.config(operation)).await;
            let config = config.map_err(|_| {
                error(
                    ErrorKind::Other,
                    operation,
                    "reading the certificates failed",
                )
            })??;
            options = options.require_tls(true).tls_client_config(config);
        }
        match &self.credentials {
            Some(credentials) => credentials.apply(options, operation).await,
            None => Ok(options),
        }
    }
}

/// Whether no waiting mends it.
fn is_telling(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Denied | ErrorKind::Invalid)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        f.debug_struct("Server")
            .field("servers", &servers)
            .field("tls", &self.requires_tls)
            .field("credentials", &self.credentials)
            .finish()
    }
}
