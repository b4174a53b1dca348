//! The node suite on the memory log and transport.

#[path = "support/node.rs"]
mod node;

use std::process::ExitCode;

use invalidation_conformance::node_suite;

fn main() -> ExitCode {
    node_suite(node::MemoryNodes).run()
}
