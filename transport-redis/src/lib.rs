//! Redis and Valkey as the version log and as a transport.

mod error;
mod server;

pub use server::Protection;
