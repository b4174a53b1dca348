//! The transport suite on LISTEN and NOTIFY of a PostgreSQL.

#[path = "support/postgres_transport.rs"]
mod postgres_transport;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;

fn main() -> ExitCode {
    transport_suite(postgres_transport::PgTransports::default()).run()
}
