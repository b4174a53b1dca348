//! The transport suite on puts and watches of a real etcd.

#![allow(clippy::expect_used, reason = "tests may panic")]

mod harness;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;

fn main() -> ExitCode {
    transport_suite(harness::EtcdTransports::default()).run()
}
