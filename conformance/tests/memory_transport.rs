//! The transport suite on the memory transport.

#[path = "support/memory_transport.rs"]
mod memory_transport;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;

fn main() -> ExitCode {
    transport_suite(memory_transport::MemoryTransports).run()
}
