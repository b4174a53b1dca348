//! A server that does not start says why: the end of its log is in the error.

use invalidation_testbed::{Backend, Error, Server};
use libtest_mimic::{Failed, Trial};

use crate::left_behind::present;
use crate::{ensure, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "postgres::says_why_it_ended",
            || Server::start(Backend::Postgres),
            says_why_it_ended,
        ),
        trial(
            "postgres::says_why_it_cannot_be_copied",
            || present(Backend::Postgres),
            |()| cannot_be_copied(),
        ),
    ]
}

fn says_why_it_ended(server: Server) -> Result<(), Failed> {
    server.kill()?;
    std::fs::remove_file(server.folder().join("data/PG_VERSION"))?;
    let error = server
        .restart()
        .err()
        .ok_or("it started without PG_VERSION")?;
    ensure(matches!(error, Error::Ended { .. }), format!("{error:?}"))?;
    ensure(
        error.to_string().contains("PG_VERSION"),
        format!("no reason in: {error}"),
    )?;
    let refused = matches!(server.resume(), Err(Error::NotRunning { .. }));
    ensure(refused, "there was something to resume")
}

/// Port 1 of loopback is nobody's.
fn cannot_be_copied() -> Result<(), Failed> {
    let error = Server::standby(([127, 0, 0, 1], 1).into())
        .err()
        .ok_or("it copied nothing")?;
    ensure(
        matches!(error, Error::Preparation { .. }),
        format!("{error:?}"),
    )?;
    ensure(
        error.to_string().contains("refused"),
        format!("no reason in: {error}"),
    )
}
