//! Redis and Valkey as the version log and as a transport.

mod error;
mod log;
mod server;
mod transport;

pub use log::{RedisLog, RedisLogBuilder, RedisWrite};
pub use server::Protection;
pub use transport::{RedisTransport, RedisTransportBuilder};
