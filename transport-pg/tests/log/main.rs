//! What is PostgreSQL's own, beyond the suite that every log runs. A server that is absent is reported as ignored, with
//! the reason; `REQUIRE_BACKENDS` makes it a failure.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bed;
mod crash;
mod drivers;
mod functions;
mod installing;
mod members;
mod pooler;
mod purging;
mod series;
mod standby;
mod stress;
mod timeouts;
mod transactions;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        crash::trials(),
        drivers::trials(),
        functions::trials(),
        installing::trials(),
        members::trials(),
        pooler::trials(),
        purging::trials(),
        series::trials(),
        standby::trials(),
        stress::trials(),
        timeouts::trials(),
        transactions::trials(),
    ];
    libtest_mimic::run(
        &Arguments::from_args(),
        trials.into_iter().flatten().collect(),
    )
    .exit_code()
}
