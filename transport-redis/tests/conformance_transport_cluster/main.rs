//! The transport suite on sharded Pub/Sub of a Redis cluster.

#[path = "../support/redis_transport.rs"]
mod redis_transport;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;
use redis_transport::{Kind, RedisTransports};

fn main() -> ExitCode {
    transport_suite(RedisTransports::new(Kind::Node)).run()
}
