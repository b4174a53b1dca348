//! How a transport is configured.

use std::{fmt, time::Duration};

use invalidation_core::{ClusterName, Error, ErrorKind, Sender};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use super::{PgTransport, channel::Channel};
use crate::error::error;

/// Checked settings.
pub(super) struct Settings {
    pub(super) cluster: ClusterName,
    pub(super) channel: Channel,
    pub(super) options: PgConnectOptions,
    pub(super) publish_timeout: Duration,
    pub(super) buffered: usize,
    pub(super) notices_loss_within: Duration,
    pub(super) reconnect_wait: (Duration, Duration),
    pub(super) sender: Sender,
}

/// The longest time of any setting: an hour.
const MAX_TIME: Duration = Duration::from_secs(3_600);
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
const NAME: &str = "cache-invalidation";

/// Builds a [`PgTransport`]. No setter fails; [`build`](Self::build) does.
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct PgTransportBuilder {
    cluster: String,
    /// The driver's own error may quote the URL.
    options: Result<PgConnectOptions, &'static str>,
    publish_timeout: Duration,
    buffered: usize,
    notices_loss_within: Duration,
    reconnect_wait: (Duration, Duration),
    sender: Sender,
}

impl PgTransportBuilder {
    pub(super) fn new(cluster: String) -> Self {
        Self {
            cluster,
            options: Err("there is no server: set its URL or its connect options"),
            publish_timeout: Duration::from_secs(2),
            buffered: 1_024,
            notices_loss_within: Duration::from_secs(3),
            reconnect_wait: (Duration::from_millis(50), Duration::from_secs(1)),
            sender: Sender::Unknown,
        }
    }

    /// The database, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`: the same on all nodes, and the primary. Directly,
    /// or through a pool that gives each client a session of its own. `sslmode=verify-full` checks its certificate.
    pub fn url(mut self, url: &str) -> Self {
        let known = SCHEMES.iter().any(|scheme| url.starts_with(scheme));
        let options = url.parse().ok().filter(|_| known);
        self.options = options.ok_or(
            "the URL cannot be used: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of \
             the parts percent-encoded",
        );
        self
    }

    /// The user's password, where the URL does not hold it; to be said after [`url`](Self::url).
    pub fn password(mut self, password: &str) -> Self {
        self.options = self.options.map(|options| options.password(password));
        self
    }

    /// The database, as the driver knows it; see [`url`](Self::url).
    pub fn connect_options(mut self, options: PgConnectOptions) -> Self {
        self.options = Ok(options);
        self
    }

    /// How long [`publish`](invalidation_core::CacheInvalidationTransport::publish) and
    /// [`probe`](invalidation_core::CacheInvalidationTransport::probe) take at most; subscribing, which is several
    /// exchanges, takes up to two and a half times as long. Default: 2 s.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// How many frames may wait for the node before they become a gap; of large ones, no more than 64 MiB. Default: 1,024.
    pub fn buffered(mut self, frames: usize) -> Self {
        self.buffered = frames;
        self
    }

    /// How soon a link that is silent is found lost: the server is asked for a sign of life after a third of this time
    /// without a notification, and has half of it to answer. Default: 3 s.
    pub fn notices_loss_within(mut self, time: Duration) -> Self {
        self.notices_loss_within = time;
        self
    }

    /// For how long a server that refused a connection is not asked for another by frames, which fail at once
    /// meanwhile: `first`, doubled each time, at most `longest`. Default: 50 ms and 1 s.
    pub fn reconnect_wait(mut self, first: Duration, longest: Duration) -> Self {
        self.reconnect_wait = (first, longest);
        self
    }

    /// Whose the frames are. The server lets every role that may connect to the database notify any channel, so that
    /// the default is [`Sender::Unknown`]: what such a frame told is applied once more when it is read in the log. Where
    /// only nodes of this cluster may connect, [`Sender::Authenticated`] saves that.
    pub fn sender(mut self, sender: Sender) -> Self {
        self.sender = sender;
        self
    }

    /// Checks the settings. Nothing connects yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a setting that cannot be, without repeating a credential.
    pub fn build(self) -> Result<PgTransport, Error> {
        let cluster =
            ClusterName::new(&self.cluster).map_err(|refused| invalid(refused.to_string()))?;
        let options = self.options.map_err(invalid)?;
        for (name, time) in [
            ("publish_timeout", self.publish_timeout),
            ("notices_loss_within", self.notices_loss_within),
            ("reconnect_wait's first", self.reconnect_wait.0),
            ("reconnect_wait's longest", self.reconnect_wait.1),
        ] {
            if time < Duration::from_millis(1) || time > MAX_TIME {
                return Err(invalid(format!(
                    "{name} is {time:?}: use 1 ms to {MAX_TIME:?}"
                )));
            }
        }
        if self.reconnect_wait.1 < self.reconnect_wait.0 {
            return Err(invalid("reconnect_wait's longest is below its first"));
        }
        if self.buffered == 0 {
            return Err(invalid("buffered is 0: use at least 1"));
        }
        Ok(PgTransport::new(Settings {
            channel: Channel::of(&cluster),
            cluster,
            options: of_this_crate(options),
            publish_timeout: self.publish_timeout,
            buffered: self.buffered,
            notices_loss_within: self.notices_loss_within,
            reconnect_wait: self.reconnect_wait,
            sender: self.sender,
        }))
    }
}

/// Without what the driver would log of statements, which hold frames, and without a parameter at which a pooler
/// stumbles and which changes floating-point numbers alone.
fn of_this_crate(options: PgConnectOptions) -> PgConnectOptions {
    let options = options.disable_statement_logging().extra_float_digits(None);
    match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(NAME),
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    error(ErrorKind::Invalid, "build", message)
}

impl fmt::Debug for PgTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the options, whose own Debug shows the password.
        f.debug_struct("PgTransportBuilder")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
