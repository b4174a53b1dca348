//! The log suite on SQLite.

#[path = "support/sqlite_log.rs"]
mod sqlite_log;

use std::process::ExitCode;

use invalidation_conformance::log_suite;

fn main() -> ExitCode {
    log_suite(sqlite_log::SqliteLogs).run()
}
