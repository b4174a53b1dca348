//! The quickstart's judge and its arithmetic: examples have no unit tests that `cargo test` would both run and still
//! build the program, so their modules are brought in here with the tests that stand in them.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../quickstart/history.rs"]
mod history;
#[path = "../quickstart/measure.rs"]
mod measure;
#[path = "../quickstart/protocol.rs"]
mod protocol;
