//! What is this log's own, beyond the suite that every log runs. A server that is absent is reported as ignored, with
//! the reason; `REQUIRE_BACKENDS` makes it a failure.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bed;
mod identity;
mod installing;
mod joining;
mod procedures;
mod purging;
mod stamping;
mod stress;
mod timeouts;
mod triggers;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        identity::trials(),
        installing::trials(),
        joining::trials(),
        procedures::trials(),
        purging::trials(),
        stamping::trials(),
        stress::trials(),
        timeouts::trials(),
        triggers::trials(),
    ];
    libtest_mimic::run(
        &Arguments::from_args(),
        trials.into_iter().flatten().collect(),
    )
    .exit_code()
}
