//! The transport suite on Pub/Sub of a Redis.

#[path = "../support/redis_transport.rs"]
mod redis_transport;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;
use redis_transport::{Kind, RedisTransports};

fn main() -> ExitCode {
    transport_suite(RedisTransports::new(Kind::Alone)).run()
}
