//! The contract of a log.

mod harness;
mod reading;

use std::sync::Arc;

pub use harness::{BusinessTransaction, LogHarness, LogSpace};

use crate::{
    Suite,
    case::{Case, cases},
};

/// The cases of the log interface on this backend.
pub fn log_suite(harness: impl LogHarness) -> Suite {
    let name = harness.name();
    Suite::of(name, "log", CASES, Arc::new(harness) as Arc<dyn LogHarness>)
}

const CASES: &[Case<dyn LogHarness>] = cases![dyn LogHarness;
    "P1" reading::append_then_read,
];
