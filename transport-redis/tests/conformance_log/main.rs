//! The log suite on a stream of a Redis.

#[path = "../support/redis_log.rs"]
mod redis_log;

use std::process::ExitCode;

use invalidation_conformance::log_suite;

fn main() -> ExitCode {
    log_suite(redis_log::RedisLogs::default()).run()
}
