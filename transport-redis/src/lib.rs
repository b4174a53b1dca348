//! Redis and Valkey as the version log and as a transport.

mod error;
mod log;
mod server;

pub use log::{RedisLog, RedisLogBuilder, RedisWrite};
pub use server::Protection;
