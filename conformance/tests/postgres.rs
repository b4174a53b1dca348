//! The log suite on PostgreSQL, directly and through a pooler in transaction mode.

#[path = "support/postgres_log/mod.rs"]
mod postgres_log;

use std::process::ExitCode;

use invalidation_conformance::{Suite, log_suite};
use postgres_log::{PostgresLogs, Way};

fn main() -> ExitCode {
    suite(Way::Direct).and(suite(Way::Pooled)).run()
}

fn suite(way: Way) -> Suite {
    log_suite(PostgresLogs::new(way))
}
