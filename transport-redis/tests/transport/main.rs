//! Pub/Sub on real servers. One that is absent is reported as ignored, with the reason; `REQUIRE_BACKENDS` makes it a
//! failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod cluster;
mod failover;
mod link;
mod others;
mod rights;
mod sentinel;
mod stage;
mod tls;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        cluster::trials(),
        failover::trials(),
        link::trials(),
        others::trials(),
        rights::trials(),
        sentinel::trials(),
        tls::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
