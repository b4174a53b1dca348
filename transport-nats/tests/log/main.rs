//! The log on real servers: what the conformance suite does not ask. A server that is absent is reported as ignored, with the
//! reason; `REQUIRE_BACKENDS` makes it a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

#[path = "../jetstream/mod.rs"]
mod jetstream;

mod beginning;
mod fleet;
mod limits;
mod making;
mod past;
mod reading;
mod several;
mod stage;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        beginning::trials(),
        fleet::trials(),
        limits::trials(),
        making::trials(),
        past::trials(),
        reading::trials(),
        several::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
