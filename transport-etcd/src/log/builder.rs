//! How a log is opened.

use std::{fmt, time::Duration};

use invalidation_core::{ClusterName, Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::{
    EtcdLog,
    keys::Keys,
    meta::{MAX_CAPACITY, MAX_RINGS},
};
use crate::{
    error::error,
    server::{Link, ServerSettings, check_time, server_setters},
};

/// Opens an [`EtcdLog`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct EtcdLogBuilder {
    servers: ServerSettings,
    cluster: String,
    rings: u32,
    capacity: u32,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// Checked settings.
#[derive(Debug)]
pub(crate) struct Settings {
    /// For whoever installs first.
    pub(crate) rings: u32,
    pub(crate) capacity: u32,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

impl EtcdLogBuilder {
    pub(crate) fn of_url(url: &str) -> Self {
        let mut servers = ServerSettings::new();
        servers.url(url);
        Self {
            servers,
            cluster: "default".into(),
            rings: 16,
            capacity: 64,
            // Less than a node waits, so that a silent member is told from a call that nobody wants any more.
            read_timeout: Duration::from_millis(350),
            write_timeout: Duration::from_secs(4),
        }
    }

    server_setters!();

    /// Whose log it is: its keys begin with `/cache-invalidation/CLUSTER/log/`. `default` by default.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = name.into();
        self
    }

    /// How many rings there are, 1 to 24; 16 by default. As many nodes can append at the same moment without being in each
    /// other's way. Whoever [installs](invalidation_core::InvalidationLog::install) first decides.
    pub fn rings(mut self, rings: u32) -> Self {
        self.rings = rings;
        self
    }

    /// How many entries a ring keeps, 1 to 1,024; 64 by default. Rings times entries is how far a reader may fall behind
    /// before it flushes; each append writes a whole ring. Whoever
    /// [installs](invalidation_core::InvalidationLog::install) first decides.
    pub fn ring_entries(mut self, entries: u32) -> Self {
        self.capacity = entries;
        self
    }

    /// How long a read may take; 350 ms by default, which is less than a node waits.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long an append or an installation may take; 4 s by default, which is less than a node waits.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Connects, so that what is wrong with the address, the server or the credentials is told now. Nothing is written: that
    /// is for [`install`](invalidation_core::InvalidationLog::install), which a node calls when it starts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used, [`ErrorKind::Unavailable`] when no member can be reached,
    /// [`ErrorKind::Denied`] for wrong credentials, [`ErrorKind::Incompatible`] for a server that is too old.
    pub async fn connect(self) -> Result<EtcdLog, Error> {
        let log = self.connect_later()?;
        log.reach().await?;
        Ok(log)
    }

    /// As [`connect`](Self::connect), but whatever comes first connects: for a node that starts in bypass while the
    /// cluster cannot be reached. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used.
    pub fn connect_later(self) -> Result<EtcdLog, Error> {
        const OPERATION: &str = "connect";
        let invalid = |why: String| error(ErrorKind::Invalid, OPERATION, why);
        check_time(OPERATION, "read_timeout", self.read_timeout)?;
        check_time(OPERATION, "write_timeout", self.write_timeout)?;
        for (name, value, most) in [
            ("rings", self.rings, MAX_RINGS),
            ("ring_entries", self.capacity, MAX_CAPACITY),
        ] {
            if !(1..=most).contains(&value) {
                return Err(invalid(format!("{name} is {value}: use 1 to {most}")));
            }
        }
        let cluster = ClusterName::new(&self.cluster).map_err(|e| invalid(e.to_string()))?;
        let settings = Settings {
            rings: self.rings,
            capacity: self.capacity,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
        };
        let link = Link::new(self.servers.check(OPERATION)?, CancellationToken::new());
        Ok(EtcdLog::start(settings, Keys::of(&cluster), link))
    }
}

/// Without credentials.
impl fmt::Debug for EtcdLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLogBuilder")
            .field("servers", &self.servers)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
