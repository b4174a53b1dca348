//! How a log is opened.

use std::{fmt, time::Duration};

use invalidation_core::Error;

use super::{
    NatsLog,
    place::Place,
    stream::{Storage, Wanted, WhenFull},
};
use crate::{
    error::invalid,
    server::{Draft, Server, server_setters},
};

/// Checked settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) wanted: Wanted,
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
}

/// The longest time of any setting: an hour.
const MAX_TIME: Duration = Duration::from_secs(3_600);
/// What JetStream takes.
const MAX_REPLICAS: usize = 5;

/// Opens a [`NatsLog`]. No setter fails; [`connect`](Self::connect) does.
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct NatsLogBuilder {
    server: Draft,
    cluster: String,
    stream: Option<String>,
    subject: Option<String>,
    domain: Option<String>,
    wanted: Wanted,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl NatsLogBuilder {
    pub(super) fn new(url: &str) -> Self {
        let mut server = Draft::default();
        server.url(url);
        Self {
            server,
            cluster: "default".into(),
            stream: None,
            subject: None,
            domain: None,
            wanted: Wanted {
                replicas: 1,
                ..Wanted::default()
            },
            read_timeout: Duration::from_millis(400),
            write_timeout: Duration::from_secs(4),
        }
    }

    server_setters!();

    /// The cluster, which has a stream of its own: `cache_invalidation_log-CLUSTER`, on the subject
    /// `cache_invalidation_log.CLUSTER`; bytes other than letters, digits, `-` and `_` are written as `%XX`. Default:
    /// `default`.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = name.into();
        self
    }

    /// The stream's name, in place of the cluster's.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// The stream's one subject, in place of the cluster's. Nothing else may be published to it.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The JetStream domain of the stream, where that is not the server's own.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// On how many servers the stream stands: 1, 3 or 5, in fact any up to 5. Default: 1. A stream that has another number
    /// is refused, since [what the log claims](NatsLog#what-it-promises) depends on it.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.wanted.replicas = replicas;
        self
    }

    /// Where the stream is stored; [`Storage::File`] by default. A stream that is stored elsewhere is refused.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.wanted.storage = storage;
        self
    }

    /// After how long the server forgets a message by itself, the newest too: for a cluster none of whose nodes runs for as
    /// long as its retention. To be well above that. Never by default.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.wanted.max_age = Some(age);
        self
    }

    /// How many messages the stream keeps; each holds one append at least. No limit by default.
    pub fn max_messages(mut self, messages: u64) -> Self {
        self.wanted.max_messages = Some(messages);
        self
    }

    /// How many bytes the stream keeps. No limit by default, but that of the account.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.wanted.max_bytes = Some(bytes);
        self
    }

    /// What happens at these limits; [`WhenFull::ForgetOldest`] by default.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.wanted.when_full = Some(when_full);
        self
    }

    /// Says that the servers' configuration has `sync_interval: always` in its `jetstream` block (2.10 and later), so that
    /// they acknowledge nothing which a power loss takes back. No server tells it. By default they sync every two minutes,
    /// and the log claims less. A stream with `persist_mode: async` (2.12) is refused then.
    pub fn syncs_always(mut self) -> Self {
        self.wanted.syncs_always = true;
        self
    }

    /// How long a read may take; 400 ms by default, which is what a node waits. Connecting comes on top.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long connecting, an append, an installation or one step of a purge may take; 4 s by default, which is less than
    /// a node waits.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Connects, so that what is wrong with the address or the credentials is told now. Nothing is written: that is for
    /// [`install`](invalidation_core::InvalidationLog::install), which a node calls when it starts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](invalidation_core::ErrorKind::Invalid) for settings that cannot be used,
    /// [`ErrorKind::Unavailable`](invalidation_core::ErrorKind::Unavailable) when no server can be reached,
    /// [`ErrorKind::Denied`](invalidation_core::ErrorKind::Denied) for credentials that it does not take.
    pub async fn connect(self) -> Result<NatsLog, Error> {
        let log = self.connect_later()?;
        log.reach().await?;
        Ok(log)
    }

    /// As [`connect`](Self::connect), but whatever comes first connects: for a node that starts in bypass while the
    /// server cannot be reached. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](invalidation_core::ErrorKind::Invalid) for settings that cannot be used.
    pub fn connect_later(self) -> Result<NatsLog, Error> {
        for (name, time) in [
            ("the read timeout", Some(self.read_timeout)),
            ("the write timeout", Some(self.write_timeout)),
        ] {
            if time.is_some_and(|time| time < Duration::from_millis(1) || time > MAX_TIME) {
                return Err(invalid(format!("{name} must be from 1 ms to {MAX_TIME:?}")));
            }
        }
        let Wanted {
            replicas,
            max_age,
            max_messages,
            max_bytes,
            ..
        } = self.wanted;
        if !(1..=MAX_REPLICAS).contains(&replicas) {
            return Err(invalid(format!(
                "{replicas} replicas: use 1 to {MAX_REPLICAS}"
            )));
        }
        // The server takes no less, and would take 0 for no limit.
        if max_age.is_some_and(|age| age < Duration::from_millis(100)) {
            return Err(invalid("max_age must be at least 100 ms"));
        }
        if max_messages == Some(0) || max_bytes == Some(0) {
            return Err(invalid("a limit of 0 keeps nothing: use at least 1"));
        }
        let can_be_domain = |domain: &str| {
            !domain.is_empty()
                && domain
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_".contains(c))
        };
        if self
            .domain
            .as_deref()
            .is_some_and(|domain| !can_be_domain(domain))
        {
            return Err(invalid(
                "the domain's name must be letters, digits, '-' and '_'",
            ));
        }
        let place = Place::checked(&self.cluster, self.stream, self.subject)?;
        let server: Server = self.server.checked()?;
        let settings = Settings {
            wanted: self.wanted,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
        };
        Ok(NatsLog::start(
            settings,
            &server,
            place,
            self.domain.as_deref(),
        ))
    }
}

impl fmt::Debug for NatsLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the server, whose URL may hold a password.
        f.debug_struct("NatsLogBuilder")
            .field("cluster", &self.cluster)
            .field("stream", &self.stream)
            .field("subject", &self.subject)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}
