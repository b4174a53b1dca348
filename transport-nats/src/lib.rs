//! NATS as a transport and JetStream as the version log of the `cache-invalidation` framework.

mod error;
mod log;
mod server;
mod transport;

pub use log::{NatsLog, NatsLogBuilder, Storage, StreamSettings, WhenFull};
pub use server::Protection;
pub use transport::{NatsTransport, NatsTransportBuilder};
