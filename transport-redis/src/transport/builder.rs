//! How a transport is configured.

use std::{fmt, time::Duration};

use invalidation_core::{ClusterName, Error, ErrorKind, Sender};

use super::{RedisTransport, channel};
use crate::{
    error::error,
    server::{Access, Servers, reaches_servers},
};

/// Checked settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) cluster: ClusterName,
    pub(super) channel: String,
    pub(super) servers: Servers,
    pub(super) publish_timeout: Duration,
    pub(super) buffered: usize,
    pub(super) notices_loss_within: Duration,
    pub(super) reconnect_wait: (Duration, Duration),
    pub(super) sender: Sender,
}

/// The longest time of any setting: an hour.
const MAX_TIME: Duration = Duration::from_secs(3_600);

/// Builds a [`RedisTransport`]. No setter fails; [`build`](Self::build) does.
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct RedisTransportBuilder {
    cluster: String,
    access: Access,
    publish_timeout: Duration,
    buffered: usize,
    notices_loss_within: Duration,
    reconnect_wait: (Duration, Duration),
    sender: Sender,
}

reaches_servers!(RedisTransportBuilder);

impl RedisTransportBuilder {
    pub(super) fn new(cluster: String) -> Self {
        Self {
            cluster,
            access: Access::default(),
            publish_timeout: Duration::from_secs(2),
            buffered: 1_024,
            notices_loss_within: Duration::from_secs(3),
            reconnect_wait: (Duration::from_millis(50), Duration::from_secs(1)),
            sender: Sender::Unknown,
        }
    }

    /// How long [`publish`](invalidation_core::CacheInvalidationTransport::publish),
    /// [`probe`](invalidation_core::CacheInvalidationTransport::probe) and
    /// [`subscribe`](invalidation_core::CacheInvalidationTransport::subscribe) take at most. Default: 2 s.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// How many frames may wait for the node before they become a gap; of large ones, no more than 64 MiB. Default: 1,024.
    pub fn buffered(mut self, frames: usize) -> Self {
        self.buffered = frames;
        self
    }

    /// How soon a link that is silent is found lost, and a primary that was made a replica is found out: the server is
    /// asked after each third of this time, and has half of it to answer. Default: 3 s.
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

    /// Whose the frames are. Whoever may log in to the server may publish on any channel, but for ACLs, so that the default
    /// is [`Sender::Unknown`]: what such a frame told is applied once more when it is read in the log. Where ACLs let
    /// only nodes of this cluster publish on its channel, [`Sender::Authenticated`] saves that.
    pub fn sender(mut self, sender: Sender) -> Self {
        self.sender = sender;
        self
    }

    /// Checks the settings, and reads the files of TLS. Nothing connects yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a setting that cannot be, without repeating a credential.
    pub fn build(self) -> Result<RedisTransport, Error> {
        let cluster =
            ClusterName::new(&self.cluster).map_err(|refused| invalid(refused.to_string()))?;
        let servers = self.access.servers().map_err(invalid)?;
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
        Ok(RedisTransport::new(Settings {
            channel: channel::of(&cluster, servers.database()),
            cluster,
            servers,
            publish_timeout: self.publish_timeout,
            buffered: self.buffered,
            notices_loss_within: self.notices_loss_within,
            reconnect_wait: self.reconnect_wait,
            sender: self.sender,
        }))
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    error(ErrorKind::Invalid, "build", message)
}

impl fmt::Debug for RedisTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the access, which holds credentials.
        f.debug_struct("RedisTransportBuilder")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
