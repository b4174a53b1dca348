//! The node suite on PostgreSQL: its log, and its LISTEN and NOTIFY, each on a server of its own.

#[path = "support/postgres_log/mod.rs"]
#[expect(
    dead_code,
    reason = "the way through a pooler is tried by the log suite"
)]
mod postgres_log;
#[path = "support/postgres_transport.rs"]
mod postgres_transport;

use std::process::ExitCode;

use invalidation_conformance::{Pair, node_suite};
use postgres_log::{PostgresLogs, Way};
use postgres_transport::PgTransports;

fn main() -> ExitCode {
    let direct = Pair(PostgresLogs::new(Way::Direct), PgTransports::default());
    node_suite(direct).run()
}
