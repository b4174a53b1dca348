//! NATS as a transport and JetStream as the version log of the `cache-invalidation` framework.

mod error;
mod server;
mod transport;

pub use server::Protection;
pub use transport::{NatsTransport, NatsTransportBuilder};
