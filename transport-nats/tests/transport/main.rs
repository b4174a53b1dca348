//! What the conformance suite does not ask of the NATS transport.
fn main() {}
