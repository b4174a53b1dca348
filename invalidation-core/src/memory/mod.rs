//! A log and a transport within one process: for a service of a single node, and for tests, which can make
//! them fail.

mod inbox;
mod log;
mod log_faults;
mod store;
mod switch;
mod transaction;
mod transport;
mod transport_faults;

pub use log::MemoryLog;
pub use log_faults::{LogFaults, MemorySnapshot};
pub use switch::FaultSwitch;
pub use transaction::MemoryTransaction;
pub use transport::{MemoryHub, MemoryTransport};
pub use transport_faults::TransportFaults;
