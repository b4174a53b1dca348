//! The log suite on a real NATS server with JetStream.

#[path = "../jetstream/mod.rs"]
mod jetstream;

mod harness;

use std::process::ExitCode;

use invalidation_conformance::log_suite;

fn main() -> ExitCode {
    log_suite(harness::NatsLogs).run()
}
