//! The node suite in memory, and on SQLite and HTTP.

#[path = "support/http_transport.rs"]
mod http_transport;
#[path = "support/memory_log.rs"]
mod memory_log;
#[path = "support/memory_transport.rs"]
mod memory_transport;
#[path = "support/sqlite_log.rs"]
mod sqlite_log;

use std::process::ExitCode;

use invalidation_conformance::{Pair, node_suite};

fn main() -> ExitCode {
    let in_memory = Pair(
        memory_log::MemoryLogs,
        memory_transport::MemoryTransports::default(),
    );
    let durable = Pair(sqlite_log::SqliteLogs, http_transport::HttpTransports);
    node_suite(in_memory).and(node_suite(durable)).run()
}
