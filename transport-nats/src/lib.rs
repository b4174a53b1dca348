//! NATS as a transport and JetStream as the version log of the `cache-invalidation` framework.

mod error;
mod server;

pub use server::Protection;
