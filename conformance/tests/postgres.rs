//! The log suite on PostgreSQL, directly and through a pooler in transaction mode.

#[path = "support/postgres_log.rs"]
mod postgres_log;

use std::process::ExitCode;

use invalidation_conformance::log_suite;
use postgres_log::{PostgresLogs, Way};

fn main() -> ExitCode {
    log_suite(PostgresLogs::new(Way::Direct))
        .and(log_suite(PostgresLogs::new(Way::Pooled)))
        .run()
}
