//! The node suite on Redis: its log and its transport, each on a server of its own.

#[path = "../support/redis_log.rs"]
mod redis_log;
#[path = "../support/redis_transport.rs"]
mod redis_transport;

use std::process::ExitCode;

use invalidation_conformance::{Pair, node_suite};

fn main() -> ExitCode {
    let redis = Pair(
        redis_log::RedisLogs::default(),
        redis_transport::RedisTransports::new(redis_transport::Kind::Alone),
    );
    node_suite(redis).run()
}
