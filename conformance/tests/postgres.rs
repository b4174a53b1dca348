//! The log suite on PostgreSQL, directly and through a pooler in transaction mode.

#[path = "support/postgres_log.rs"]
mod postgres_log;

use std::process::ExitCode;

use invalidation_conformance::{Suite, log_suite};
use postgres_log::{PostgresLogs, Way};

fn main() -> ExitCode {
    suite(Way::Direct).and(suite(Way::Pooled)).run()
}

fn suite(way: Way) -> Suite {
    let reason = "a cursor that was taken while the log was empty has no witness: that every row which it had not passed was \
                  deleted by hand since is not told";
    log_suite(PostgresLogs::new(way))
        .known_failure("a_total_purge_is_told", reason)
        .known_failure("a_total_trim_is_told", reason)
        .known_failure("a_trim_past_a_reader_is_told", reason)
}
