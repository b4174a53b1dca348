//! The log on real servers. One that is absent is reported as ignored, with the reason; `REQUIRE_BACKENDS` makes it a
//! failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;
mod installing;
mod joining;
mod pasts;
mod quorum;
mod rings;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        installing::trials(),
        joining::trials(),
        pasts::trials(),
        quorum::trials(),
        rings::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
