//! The transport suite on the memory transport.

#[path = "support/memory_transport.rs"]
mod memory_transport;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;

fn main() -> ExitCode {
    let echoing = memory_transport::MemoryTransports { echoes: true };
    transport_suite(memory_transport::MemoryTransports::default())
        .and(transport_suite(echoing))
        .run()
}
