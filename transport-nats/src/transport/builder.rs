//! How a transport is configured.

use std::{fmt, time::Duration};

use invalidation_core::{ClusterName, Error, Sender};

use super::{NatsTransport, subjects::Subjects};
use crate::{
    error::invalid,
    server::{Draft, Server, server_setters},
};

/// Checked settings.
pub(super) struct Settings {
    pub(super) cluster: ClusterName,
    pub(super) subjects: Subjects,
    pub(super) server: Server,
    pub(super) publish_timeout: Duration,
    pub(super) buffered: usize,
    pub(super) notices_loss_within: Duration,
    pub(super) reconnect_wait: (Duration, Duration),
    pub(super) max_frame: usize,
    pub(super) sender: Sender,
}

/// The longest time of any setting: an hour.
const MAX_TIME: Duration = Duration::from_secs(3_600);
/// A server's `max_payload`, unless it is told otherwise.
const MAX_PAYLOAD: usize = 1 << 20;
/// The largest that a server can be told, 64 MiB.
const LARGEST_PAYLOAD: usize = 64 << 20;

/// Builds a [`NatsTransport`]. No setter fails; [`build`](Self::build) does.
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct NatsTransportBuilder {
    cluster: String,
    server: Draft,
    publish_timeout: Duration,
    buffered: usize,
    notices_loss_within: Duration,
    reconnect_wait: (Duration, Duration),
    max_frame: usize,
    sender: Sender,
}

impl NatsTransportBuilder {
    pub(super) fn new(cluster: String) -> Self {
        Self {
            cluster,
            server: Draft::default(),
            publish_timeout: Duration::from_secs(2),
            buffered: 1_024,
            notices_loss_within: Duration::from_secs(3),
            reconnect_wait: (Duration::from_millis(50), Duration::from_secs(1)),
            max_frame: MAX_PAYLOAD,
            sender: Sender::Unknown,
        }
    }

    server_setters!();

    /// How long [`publish`](invalidation_core::CacheInvalidationTransport::publish),
    /// [`subscribe`](invalidation_core::CacheInvalidationTransport::subscribe) and
    /// [`probe`](invalidation_core::CacheInvalidationTransport::probe) take at most, connecting included. Default: 2 s.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// How soon a link that is silent is found lost: when three signs of life that the client asked for, each after a
    /// quarter of this time, did not come. Default: 3 s.
    pub fn notices_loss_within(mut self, time: Duration) -> Self {
        self.notices_loss_within = time;
        self
    }

    /// How many frames may wait for the node before they become a gap. They are counted, of whatever size: memory for so many
    /// of [`max_frame`](Self::max_frame) may be taken. Default: 1,024.
    pub fn buffered(mut self, frames: usize) -> Self {
        self.buffered = frames;
        self
    }

    /// For how long servers that refused a connection are not asked for another by frames, which fail at once
    /// meanwhile: `first`, doubled each time, at most `longest`. Default: 50 ms and 1 s.
    pub fn reconnect_wait(mut self, first: Duration, longest: Duration) -> Self {
        self.reconnect_wait = (first, longest);
        self
    }

    /// The largest frame, in bytes: not above the servers' `max_payload`, which is their default here, 1 MiB.
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Whose the frames are. Whoever may publish to the cluster's subjects can send one, so that the default is
    /// [`Sender::Unknown`]: what such a frame told is applied once more when it is read in the log. Where the servers'
    /// permissions let only nodes of this cluster do so, [`Sender::Authenticated`] saves that.
    pub fn sender(mut self, sender: Sender) -> Self {
        self.sender = sender;
        self
    }

    /// Checks the settings. Nothing connects yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](invalidation_core::ErrorKind::Invalid) for a setting that cannot be, without repeating a
    /// credential.
    pub fn build(self) -> Result<NatsTransport, Error> {
        let cluster =
            ClusterName::new(&self.cluster).map_err(|refused| invalid(refused.to_string()))?;
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
        if !(1..=LARGEST_PAYLOAD).contains(&self.max_frame) {
            return Err(invalid(format!(
                "max_frame is {}: use 1 to {LARGEST_PAYLOAD}",
                self.max_frame
            )));
        }
        Ok(NatsTransport::new(Settings {
            subjects: Subjects::of(&cluster),
            cluster,
            server: self.server.checked()?,
            publish_timeout: self.publish_timeout,
            buffered: self.buffered,
            notices_loss_within: self.notices_loss_within,
            reconnect_wait: self.reconnect_wait,
            max_frame: self.max_frame,
            sender: self.sender,
        }))
    }
}

impl fmt::Debug for NatsTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the server, whose URL may hold a password.
        f.debug_struct("NatsTransportBuilder")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
