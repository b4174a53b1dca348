//! The log suite on a real etcd: one of a single member, and one of three of which the leader is killed.

#![allow(clippy::expect_used, reason = "tests may panic")]

mod disruptions;
mod harness;
mod stored;
mod transaction;

use std::process::ExitCode;

use invalidation_conformance::log_suite;

fn main() -> ExitCode {
    log_suite(harness::EtcdLogs::of(1))
        .and(log_suite(harness::EtcdLogs::of(3)))
        .run()
}
