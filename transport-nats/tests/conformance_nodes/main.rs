//! The node suite on NATS: its log and its transport, each on a server of its own.

#[path = "../jetstream/mod.rs"]
mod jetstream;
#[path = "../conformance_log/harness.rs"]
mod log;
#[path = "../conformance_transport/harness.rs"]
mod transport;

use std::process::ExitCode;

use invalidation_conformance::{Pair, node_suite};

fn main() -> ExitCode {
    node_suite(Pair(log::NatsLogs, transport::NatsTransports::default())).run()
}
