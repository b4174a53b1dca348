//! etcd, 3.4 or newer, as the version log and as a transport of the `cache-invalidation` framework.
//!
//! # Building
//! The driver compiles protobuf definitions: `protoc` and its well-known types are needed to build this crate, in Debian
//! the packages `protobuf-compiler` and `libprotobuf-dev`.

mod error;
mod keys;
mod log;
mod server;
mod transport;

pub use log::{Committed, EtcdLog, EtcdLogBuilder, EtcdTransaction, NotCommitted};
pub use server::Protection;
pub use transport::{EtcdTransport, EtcdTransportBuilder};
