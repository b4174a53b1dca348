//! How a transport is configured.

use std::{fmt, time::Duration};

use invalidation_core::{ClusterName, Error, ErrorKind, Sender};

use super::EtcdTransport;
use crate::{
    error::error,
    keys::Prefix,
    server::{ServerSettings, check_time, server_setters},
};

const OPERATION: &str = "build";

/// Checked settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) cluster: ClusterName,
    pub(super) key: String,
    pub(super) publish_timeout: Duration,
    pub(super) buffered: usize,
    pub(super) notices_loss_within: Duration,
    pub(super) sender: Sender,
}

/// Builds an [`EtcdTransport`]. No setter fails; [`build`](Self::build) does.
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct EtcdTransportBuilder {
    cluster: String,
    servers: ServerSettings,
    publish_timeout: Duration,
    buffered: usize,
    notices_loss_within: Duration,
    sender: Sender,
}

impl EtcdTransportBuilder {
    pub(super) fn new(cluster: String) -> Self {
        Self {
            cluster,
            servers: ServerSettings::new(),
            publish_timeout: Duration::from_secs(2),
            buffered: 1_024,
            notices_loss_within: Duration::from_secs(3),
            sender: Sender::Unknown,
        }
    }

    server_setters!();

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

    /// How soon a link that is silent is found lost: the server is asked for a sign of life after a third of this time
    /// without an event, and has half of it to answer. Default: 3 s.
    pub fn notices_loss_within(mut self, time: Duration) -> Self {
        self.notices_loss_within = time;
        self
    }

    /// For how long members that refused a connection are not asked for another by frames, which fail at once
    /// meanwhile: `first`, doubled each time, at most `longest`. Default: 50 ms and 1 s.
    pub fn reconnect_wait(mut self, first: Duration, longest: Duration) -> Self {
        self.servers.reconnect_wait(first, longest);
        self
    }

    /// Whose the frames are. Without authentication everybody who reaches the cluster may write any key, so that the
    /// default is [`Sender::Unknown`]: what such a frame told is applied once more when it is read in the log. Where only
    /// nodes of this cluster may write the key, [`Sender::Authenticated`] saves that.
    pub fn sender(mut self, sender: Sender) -> Self {
        self.sender = sender;
        self
    }

    /// Checks the settings. Nothing connects yet; files of certificates are read.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a setting that cannot be, without repeating a credential.
    pub fn build(self) -> Result<EtcdTransport, Error> {
        let cluster =
            ClusterName::new(&self.cluster).map_err(|refused| invalid(refused.to_string()))?;
        check_time(OPERATION, "publish_timeout", self.publish_timeout)?;
        check_time(OPERATION, "notices_loss_within", self.notices_loss_within)?;
        if self.buffered == 0 {
            return Err(invalid("buffered is 0: use at least 1"));
        }
        let servers = self.servers.check(OPERATION)?;
        let settings = Settings {
            key: Prefix::of(&cluster).join("frames"),
            cluster,
            publish_timeout: self.publish_timeout,
            buffered: self.buffered,
            notices_loss_within: self.notices_loss_within,
            sender: self.sender,
        };
        Ok(EtcdTransport::new(settings, servers))
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    error(ErrorKind::Invalid, OPERATION, message)
}

impl fmt::Debug for EtcdTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTransportBuilder")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
