//! Where the cluster is and who one is, as configured.

use std::{fmt, path::PathBuf, time::Duration};

use etcd_client::ConnectOptions;
use invalidation_core::{Error, ErrorKind};
use tonic::transport::Endpoint;

use super::{
    WRONG_URL,
    address::{Address, Secret},
    tls::Tls,
};
use crate::error::error;

/// What was said to a builder. [`check`](Self::check) makes something of it.
#[derive(Clone)]
pub(crate) struct ServerSettings {
    /// `None` for what is no URL, `Some(None)` while none was given.
    address: Option<Option<Address>>,
    user: Option<String>,
    password: Option<Secret>,
    tls: Tls,
    connect_timeout: Duration,
    reconnect_wait: (Duration, Duration),
}

/// The longest time of any setting: an hour.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(3_600);

impl ServerSettings {
    pub(crate) fn new() -> Self {
        Self {
            address: Some(None),
            user: None,
            password: None,
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(1),
            reconnect_wait: (Duration::from_millis(50), Duration::from_secs(1)),
        }
    }

    pub(crate) fn url(&mut self, url: &str) {
        self.address = Address::parse(url).map(Some);
    }

    pub(crate) fn user(&mut self, user: &str) {
        self.user = Some(user.to_owned());
    }

    pub(crate) fn password(&mut self, password: &str) {
        self.password = Some(Secret(password.to_owned()));
    }

    pub(crate) fn ca_file(&mut self, file: PathBuf) {
        self.tls.ca_file = Some(file);
    }

    pub(crate) fn client_certificate(&mut self, certificate: PathBuf, key: PathBuf) {
        self.tls.client = Some((certificate, key));
    }

    pub(crate) fn server_name(&mut self, name: &str) {
        self.tls.server_name = Some(name.to_owned());
    }

    pub(crate) fn insecure_tls(&mut self) {
        self.tls.is_insecure = true;
    }

    pub(crate) fn connect_timeout(&mut self, time: Duration) {
        self.connect_timeout = time;
    }

    pub(crate) fn reconnect_wait(&mut self, first: Duration, longest: Duration) {
        self.reconnect_wait = (first, longest);
    }

    /// Checks it. Nothing connects yet; files are read.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a setting that cannot be, without repeating a credential.
    pub(crate) fn check(self, operation: &'static str) -> Result<Servers, Error> {
        let invalid = |message| Err(error(ErrorKind::Invalid, operation, message));
        let address = match self.address {
            Some(Some(address)) => address,
            Some(None) => return invalid("there is no cluster: set its URL"),
            None => return invalid(WRONG_URL),
        };
        for (name, time) in [
            ("connect_timeout", self.connect_timeout),
            ("reconnect_wait's first", self.reconnect_wait.0),
            ("reconnect_wait's longest", self.reconnect_wait.1),
        ] {
            check_time(operation, name, time)?;
        }
        if self.reconnect_wait.1 < self.reconnect_wait.0 {
            return invalid("reconnect_wait's longest is below its first");
        }
        let credentials = match (
            self.user.or(address.user),
            self.password.or(address.password),
        ) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => return invalid("there is a user and no password: give both"),
            (None, Some(_)) => return invalid("there is a password and no user: give both"),
        };
        if !address.is_encrypted && self.tls.is_said() {
            return invalid(
                "there are TLS settings and the URL is one of plain text: write etcds://",
            );
        }
        if self.tls.is_insecure && self.tls.ca_file.is_some() {
            return invalid(
                "insecure_tls trusts whoever answers, and a CA file says whom: say one",
            );
        }
        let servers = Servers {
            hosts: address.hosts,
            credentials,
            tls: address.is_encrypted.then_some(self.tls),
            connect_timeout: self.connect_timeout,
            reconnect_wait: self.reconnect_wait,
        };
        for at in 0..servers.hosts.len() {
            servers.endpoint(at, operation)?;
        }
        Ok(servers)
    }
}

/// Refuses what is no sensible time.
pub(crate) fn check_time(operation: &'static str, name: &str, time: Duration) -> Result<(), Error> {
    if time < Duration::from_millis(1) || time > MAX_TIME {
        return Err(error(
            ErrorKind::Invalid,
            operation,
            format!("{name} is {time:?}: use 1 ms to {MAX_TIME:?}"),
        ));
    }
    Ok(())
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSettings")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Checked settings.
#[derive(Clone)]
pub(crate) struct Servers {
    hosts: Vec<String>,
    credentials: Option<(String, Secret)>,
    tls: Option<Tls>,
    pub(super) connect_timeout: Duration,
    pub(super) reconnect_wait: (Duration, Duration),
}

impl Servers {
    /// How many members can be asked.
    pub(super) fn count(&self) -> usize {
        self.hosts.len()
    }

    /// `HOST:PORT` of one of them.
    pub(super) fn host(&self, at: usize) -> &str {
        &self.hosts[at]
    }

    /// How one of them is reached.
    pub(super) fn endpoint(&self, at: usize, operation: &'static str) -> Result<Endpoint, Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.hosts[at]))
            .map_err(|_| error(ErrorKind::Invalid, operation, WRONG_URL))?;
        match &self.tls {
            Some(tls) => tls.apply(endpoint, operation),
            None => Ok(endpoint),
        }
    }

    /// What each call carries. Every one asks for a leader, so that a member which was cut off from the others says so,
    /// and does not wait for them.
    pub(super) fn options(&self, with: Login) -> ConnectOptions {
        let options = ConnectOptions::new().with_require_leader(true);
        match (&self.credentials, with) {
            (Some((user, password)), Login::AsConfigured) => {
                options.with_user(user.clone(), password.0.clone())
            }
            _ => options,
        }
    }

    /// Whether the links speak TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether there are credentials.
    pub(super) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }
}

/// Whether to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    AsConfigured,
    Never,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers")
            .field("hosts", &self.hosts)
            .field("is_encrypted", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}
