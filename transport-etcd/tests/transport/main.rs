//! Puts and watches on real servers. One that is absent is reported as ignored, with the reason; `REQUIRE_BACKENDS` makes
//! it a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod link;
mod members;
mod others;
mod rights;
mod sending;
mod stage;
mod store;
mod tls;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        link::trials(),
        members::trials(),
        others::trials(),
        rights::trials(),
        sending::trials(),
        store::trials(),
        tls::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
