//! Where the servers are, and connections to the one that is meant: the primary, or in a cluster the owner of a key.

mod access;
mod connect;
mod greeting;
mod link;
mod place;
mod protection;
mod slot;
mod stream;
mod tls;

use std::{fmt, sync::Arc};

use tokio_rustls::TlsConnector;

use self::{link::Credentials, place::Arrangement};

pub(crate) use self::{
    access::{Access, reaches_servers},
    greeting::Greeting,
    link::Link,
    place::Address,
};
pub use protection::Protection;

/// Checked settings: where the servers are, and how to log in. A clone is cheap, and its `Debug` shows no credential.
#[derive(Clone)]
pub(crate) struct Servers {
    inner: Arc<Inner>,
}

struct Inner {
    arrangement: Arrangement,
    tls: Option<TlsConnector>,
    credentials: Credentials,
    sentinel: Credentials,
}

impl Servers {
    /// Whether they are a cluster, where commands go to the owner of their keys.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.inner.arrangement, Arrangement::Cluster(_))
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.inner.credentials.database
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers")
            .field("arrangement", &self.inner.arrangement)
            .field("tls", &self.inner.tls.is_some())
            .field("database", &self.inner.credentials.database)
            .finish_non_exhaustive()
    }
}
