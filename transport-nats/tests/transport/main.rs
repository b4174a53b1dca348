//! Core subjects on real servers: what the conformance suite does not ask. A server that is absent is reported as ignored,
//! with the reason; `REQUIRE_BACKENDS` makes it a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod access;
mod jwt;
mod link;
mod others;
mod relay;
mod rights;
mod sending;
mod servers;
mod slow;
mod stage;
mod tls;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        access::trials(),
        link::trials(),
        others::trials(),
        rights::trials(),
        sending::trials(),
        servers::trials(),
        slow::trials(),
        tls::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
