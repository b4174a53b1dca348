//! The suites catch what they are there to catch: each deliberately wrong log, transport and node fails in the case
//! named for it, and its honest sibling passes that case.

#[path = "catches/log.rs"]
mod log;
#[path = "catches/node.rs"]
mod node;
#[path = "catches/transport.rs"]
mod transport;
