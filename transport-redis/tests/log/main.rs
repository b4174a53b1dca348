//! What is the Redis log's own, beyond the suite that every log runs. A server that is absent is reported as ignored, with
//! the reason; `REQUIRE_BACKENDS` makes it a failure.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod arrangements;
mod bed;
mod deleting;
mod failing_over;
mod installing;
mod purging;
mod refusing;
mod restoring;
mod rights;
mod stress;
mod writing;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        arrangements::trials(),
        deleting::trials(),
        failing_over::trials(),
        installing::trials(),
        purging::trials(),
        refusing::trials(),
        restoring::trials(),
        rights::trials(),
        stress::trials(),
        writing::trials(),
    ];
    libtest_mimic::run(
        &Arguments::from_args(),
        trials.into_iter().flatten().collect(),
    )
    .exit_code()
}
