//! Where a cluster is, and the connections to it.

mod address;
mod link;
mod protection;
mod say;
mod session;
mod settings;
mod tls;

pub(crate) use link::Link;
pub use protection::Protection;
pub(crate) use say::server_setters;
pub(crate) use session::Session;
pub(crate) use settings::{ServerSettings, Servers, check_time};

const WRONG_URL: &str = "the URL cannot be used: write etcd://USER:PASSWORD@HOST:PORT,HOST:PORT, or etcds:// for TLS, with \
                         special characters of user and password percent-encoded";
