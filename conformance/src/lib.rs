//! The contract of the framework's two interfaces, and of the node above them, as one suite that every backend
//! runs: ours, an operator's own servers, and transports we never saw.
//!
//! A backend gives a *harness*, which makes fresh namespaces and disrupts them, and a `main` of two lines in a test
//! with `harness = false`:
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     invalidation_conformance::log_suite(MyHarness::default()).run()
//! }
//! ```
//!
//! Cases are one table each, and no backend lists them. What a harness or its backend cannot do is reported as
//! *ignored, with the reason*, and never as passed.

mod case;
mod deadline;
mod disruption;
mod log;
mod node;
mod secrets;
mod seed;
mod suite;
mod transport;
mod unable;
mod wait;
mod watchdog;

pub use case::Verdict;
pub use disruption::Disruption;
pub use log::{BusinessTransaction, LogHarness, LogSpace, log_suite};
pub use node::{
    CLUSTER, Ending, Freshness, Loader, NodeHarness, NodeSpace, NodeUnderTest, Pair, Row, Setup,
    node_suite,
};
pub use suite::Suite;
pub use transport::{Member, Stranger, TransportCluster, TransportHarness, transport_suite};
pub use unable::Unable;
