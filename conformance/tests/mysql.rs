//! The log suite on MariaDB.

#[path = "support/mysql_log.rs"]
mod mysql_log;

use std::process::ExitCode;

use invalidation_conformance::log_suite;
use mysql_log::MySqlLogs;

fn main() -> ExitCode {
    log_suite(MySqlLogs::default()).run()
}
