//! What a node promises above a log and a transport, with a history checker.

mod harness;

use std::sync::Arc;

pub use harness::{NodeHarness, NodeSpace};

use crate::{
    Suite,
    case::{Case, cases},
};

/// The cases of the node on this log and transport.
pub fn node_suite(harness: impl NodeHarness) -> Suite {
    let name = harness.name();
    Suite::of(
        name,
        "node",
        CASES,
        Arc::new(harness) as Arc<dyn NodeHarness>,
    )
}

const CASES: &[Case<dyn NodeHarness>] = cases![dyn NodeHarness;];
