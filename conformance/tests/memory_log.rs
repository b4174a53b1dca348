//! The log suite on the memory log.

#[path = "support/memory_log.rs"]
mod memory_log;

use std::process::ExitCode;

use invalidation_conformance::log_suite;

fn main() -> ExitCode {
    log_suite(memory_log::MemoryLogs).run()
}
