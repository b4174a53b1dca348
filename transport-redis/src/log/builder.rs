//! How a log is opened.

use std::{fmt, sync::Arc, time::Duration};

use invalidation_core::{ClusterName, Error, ErrorKind};

use super::RedisLog;
use crate::{
    error::error,
    server::{Access, Servers, reaches_servers},
};

/// Opens a [`RedisLog`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct RedisLogBuilder {
    access: Access,
    cluster: String,
    key: Option<String>,
    max_entries: u64,
    eviction: Eviction,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// Whether the server may evict the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eviction {
    Refused,
    Allowed,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Servers,
    pub(crate) key: String,
    /// `MAXLEN`, as the scripts take it.
    pub(crate) max_entries: String,
    pub(crate) eviction: Eviction,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

/// The longest timeout: an hour.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

/// A log of fewer entries would tell every node of a gap whenever it is busy for a moment.
const LEAST_ENTRIES: u64 = 1_000;
/// A stream of so many holds more than any server.
const MOST_ENTRIES: u64 = 1 << 40;

reaches_servers!(RedisLogBuilder);

impl RedisLogBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            access: Access {
                url: Some(url.to_owned()),
                ..Access::default()
            },
            cluster: "default".to_owned(),
            key: None,
            max_entries: 100_000,
            eviction: Eviction::Refused,
            read_timeout: Duration::from_millis(400),
            write_timeout: Duration::from_secs(4),
        }
    }

    /// The cluster whose log it is; `default` by default. The log of the cluster `billing` is the key
    /// `cache_invalidation:{billing}:log`.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = name.into();
        self
    }

    /// The log's key, in place of the one that follows from the [`cluster`](Self::cluster). One key is one log. In a Redis
    /// cluster it must share its hash tag with the business keys that [`RedisWrite`](super::RedisWrite) writes with it.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// About how many entries the server keeps at most, whatever the retention; 100,000 by default, and at least 1,000. A
    /// node that was further behind flushes.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }

    /// Lets [`install`](invalidation_core::InvalidationLog::install) accept a server that evicts any key when it is full
    /// (`maxmemory-policy allkeys-…`). Each time it evicts the log, every node flushes.
    pub fn allow_eviction(mut self) -> Self {
        self.eviction = Eviction::Allowed;
        self
    }

    /// How long a node waits for a read: the same here keeps reads that were given up from piling up. 400 ms by default,
    /// on an open connection; one that must be opened first may take the write timeout.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long an append, an installation or one step of a purge may take; 4 s by default, which is less than a node
    /// waits.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Connects, so that what is wrong with the address or the rights is told now. Nothing is written: that is for
    /// [`install`](invalidation_core::InvalidationLog::install), which a node calls when it starts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used, [`ErrorKind::Unavailable`] when the primary cannot be
    /// reached, [`ErrorKind::Denied`] with wrong credentials.
    pub async fn connect(self) -> Result<RedisLog, Error> {
        let log = self.connect_later()?;
        log.reach("connect").await?;
        Ok(log)
    }

    /// As [`connect`](Self::connect), but whatever comes first connects: for a node that starts in bypass while the
    /// server cannot be reached. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used.
    pub fn connect_later(self) -> Result<RedisLog, Error> {
        self.settings()
            .map(|settings| RedisLog::start(Arc::new(settings)))
            .map_err(|why| error(ErrorKind::Invalid, "connect", why))
    }

    fn settings(self) -> Result<Settings, String> {
        for (name, timeout) in [
            ("the read timeout", self.read_timeout),
            ("the write timeout", self.write_timeout),
        ] {
            if timeout.is_zero() || timeout > MAX_TIMEOUT {
                return Err(format!("{name} must be above zero and at most one hour"));
            }
        }
        if !(LEAST_ENTRIES..=MOST_ENTRIES).contains(&self.max_entries) {
            return Err(format!(
                "max_entries must be from {LEAST_ENTRIES} to {MOST_ENTRIES}"
            ));
        }
        Ok(Settings {
            key: key(self.key, &self.cluster)?,
            servers: self.access.servers()?,
            max_entries: self.max_entries.to_string(),
            eviction: self.eviction,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
        })
    }
}

fn key(key: Option<String>, cluster: &str) -> Result<String, String> {
    const MAX_KEY: usize = 512;
    if let Some(key) = key {
        return match key.len() {
            1..=MAX_KEY => Ok(key),
            _ => Err(format!("the log's key must have 1 to {MAX_KEY} bytes")),
        };
    }
    let cluster = ClusterName::new(cluster).map_err(|e| e.to_string())?;
    if cluster.as_str().contains(['{', '}']) {
        return Err(
            "the cluster's name holds a brace, which marks the hash tag of a key: choose another name, or set the log's key"
                .into(),
        );
    }
    Ok(format!("cache_invalidation:{{{cluster}}}:log"))
}

/// Without credentials.
impl fmt::Debug for RedisLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLogBuilder")
            .field("cluster", &self.cluster)
            .field("key", &self.key)
            .field("max_entries", &self.max_entries)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    /// A cluster has a key of its own, whose hash tag is its name.
    #[test]
    fn a_cluster_has_a_key() {
        let of = |cluster: &str| key(None, cluster);
        assert_eq!(of("a b").unwrap(), "cache_invalidation:{a b}:log");
        for bad in ["", "a}b", "{a", "a\nb"] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
        assert_eq!(key(Some("x{y}".into()), "a}b").unwrap(), "x{y}");
        assert!(key(Some(String::new()), "a").is_err());
    }
}
