//! The transport suite on core subjects of a NATS server.

mod harness;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;

fn main() -> ExitCode {
    transport_suite(harness::NatsTransports::default()).run()
}
