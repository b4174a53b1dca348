//! Every server of the testbed, started and disrupted for real. One that is absent is reported as ignored, with
//! the reason; `REQUIRE_BACKENDS` makes it a failure.

mod absence;
mod client;
mod copies;
mod disruptions;
mod failures;
mod hold;
mod left_behind;
mod ordinary_user;
mod sharing;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use invalidation_testbed::{Backend, Error, Offer, Required};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    if let Some(code) = hold::if_asked() {
        return code;
    }
    let arguments = Arguments::from_args();
    let trials = [
        disruptions::trials(),
        copies::trials(),
        failures::trials(),
        sharing::trials(),
        left_behind::trials(),
        ordinary_user::trials(),
        absence::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// A trial that needs what `start` gives.
fn trial<T: 'static>(
    name: impl Into<String>,
    start: impl FnOnce() -> Result<T, Error> + Send + 'static,
    body: impl FnOnce(T) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, || match Required::from_env()?.decide(start())? {
        Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
        Offer::Here(server) => body(server).map(|()| Completion::Completed),
    })
}

/// Succeeds as soon as the check does; after half a minute with its last failure.
fn eventually<E: std::fmt::Display>(
    what: &str,
    check: impl Fn() -> Result<(), E>,
) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match check() {
            Ok(()) => return Ok(()),
            Err(last) if Instant::now() >= deadline => {
                return Err(format!("expected within 30 s: {what}; last: {last}").into());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn ensure(holds: bool, otherwise: impl Into<String>) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.into().into())
    }
}

/// Fails unless the program that a trial needs is there, too.
fn with_client(backend: Backend, program: &str) -> Result<(), Error> {
    backend.program(program).map(drop)
}
