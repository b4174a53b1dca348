//! The contract of a transport.

mod harness;

use std::sync::Arc;

pub use harness::{Member, Stranger, TransportCluster, TransportHarness};

use crate::{
    Suite,
    case::{Case, cases},
};

/// The cases of the transport interface on this backend.
pub fn transport_suite(harness: impl TransportHarness) -> Suite {
    let name = harness.name();
    Suite::of(
        name,
        "transport",
        CASES,
        Arc::new(harness) as Arc<dyn TransportHarness>,
    )
}

const CASES: &[Case<dyn TransportHarness>] = cases![dyn TransportHarness;];
