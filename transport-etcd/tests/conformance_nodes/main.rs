//! The node suite on etcd: its log on three members, of which the leader is killed, and its transport on a server of its own.

#![allow(clippy::expect_used, reason = "tests may panic")]

#[path = "../conformance_log/disruptions.rs"]
mod disruptions;
#[path = "../conformance_log/harness.rs"]
mod harness;
#[path = "../conformance_log/stored.rs"]
mod stored;
#[path = "../conformance_log/transaction.rs"]
mod transaction;
#[path = "../conformance_transport/harness.rs"]
mod transports;

use std::process::ExitCode;

use invalidation_conformance::{Pair, node_suite};

fn main() -> ExitCode {
    let pair = Pair(
        harness::EtcdLogs::of(3),
        transports::EtcdTransports::default(),
    );
    node_suite(pair).run()
}
