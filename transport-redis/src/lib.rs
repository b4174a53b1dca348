//! Redis and Valkey as the version log and as a transport.

mod error;
mod server;
mod transport;

pub use server::Protection;
pub use transport::{RedisTransport, RedisTransportBuilder};
