//! Start, kill, restart, stop, pause, resume, cut, black hole and heal, on each server.

use std::time::Duration;

use invalidation_testbed::{Backend, Error, Proxy, Server, ping};
use libtest_mimic::{Failed, Trial};

use crate::client::{self, Session};
use crate::{ensure, eventually, trial, with_client};

/// For what must be answered.
const ANSWER: Duration = Duration::from_secs(10);
/// For what must not be answered.
const SILENCE: Duration = Duration::from_millis(300);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = Backend::ALL
        .into_iter()
        .flat_map(|backend| {
            [
                trial(
                    format!("{backend}::restarts_on_the_same_port"),
                    move || Server::start(backend),
                    restarts,
                ),
                trial(
                    format!("{backend}::pauses_and_resumes"),
                    move || Server::start(backend),
                    pauses,
                ),
                trial(
                    format!("{backend}::is_cut_off_and_healed"),
                    move || Server::start(backend),
                    is_cut_off,
                ),
            ]
        })
        .collect();
    trials.push(trial(
        "postgres::pauses_open_sessions",
        with_psql,
        pauses_open_sessions,
    ));
    trials.push(trial(
        "postgres::keeps_what_was_committed",
        with_psql,
        keeps_commits,
    ));
    trials.push(trial(
        "pgbouncer::pools_transactions",
        pgbouncer_with_psql,
        pools_transactions,
    ));
    trials.push(trial("mariadb::lets_root_in", with_mariadb, lets_root_in));
    trials.push(trial(
        "nats::keeps_its_streams",
        || Server::start(Backend::Nats),
        keeps_streams,
    ));
    trials
}

fn with_psql() -> Result<Server, Error> {
    with_client(Backend::Postgres, "psql")?;
    Server::start(Backend::Postgres)
}

fn pgbouncer_with_psql() -> Result<Server, Error> {
    with_client(Backend::Postgres, "psql")?;
    Server::start(Backend::Pgbouncer)
}

fn with_mariadb() -> Result<Server, Error> {
    with_client(Backend::Mariadb, "mariadb")?;
    Server::start(Backend::Mariadb)
}

/// A killed or stopped server answers nobody and leaves no process; restarted it answers where it did.
fn restarts(server: Server) -> Result<(), Failed> {
    let address = server.address();
    for end in [Server::kill, Server::stop] {
        server.ping(ANSWER)?;
        ensure(
            !server.processes().is_empty(),
            "a running server has processes",
        )?;
        end(&server)?;
        ensure(server.processes().is_empty(), "a process is left")?;
        ensure(
            server.ping(ANSWER).is_err(),
            "a server that is down answered",
        )?;
        end(&server)?; // down already: nothing to do
        server.restart()?;
        ensure(server.address() == address, "it moved to another port")?;
        server.ping(ANSWER)?;
    }
    server.restart()?; // one that runs is stopped first
    Ok(server.ping(ANSWER)?)
}

/// A paused server does not answer, and lives; a paused one can be killed, and stopped.
fn pauses(server: Server) -> Result<(), Failed> {
    server.pause()?;
    let silent = server.ping(SILENCE);
    ensure(silent.is_err(), "a paused server answered")?;
    server.resume()?;
    server.ping(ANSWER)?;
    for end in [Server::kill, Server::stop] {
        server.pause()?;
        end(&server)?;
        ensure(server.processes().is_empty(), "a process is left")?;
        let refused = matches!(server.pause(), Err(Error::NotRunning { .. }));
        ensure(refused, "there was something to pause")?;
        server.restart()?;
        server.ping(ANSWER)?;
    }
    Ok(())
}

/// A cut or black-holed link loses the server, and the server itself stays; healed it is back.
fn is_cut_off(server: Server) -> Result<(), Failed> {
    let proxy = Proxy::to(server.address())?;
    let through = |within| ping(server.backend(), proxy.address(), within);
    through(ANSWER)?;
    for disrupt in [Proxy::cut, Proxy::black_hole] {
        disrupt(&proxy);
        ensure(through(SILENCE).is_err(), "it answered over a broken link")?;
        server.ping(ANSWER)?;
        proxy.heal();
        through(ANSWER)?;
    }
    server.kill()?;
    ensure(through(ANSWER).is_err(), "a dead server answered")?;
    server.restart()?;
    Ok(through(ANSWER)?)
}

/// SIGSTOP of the postmaster alone would let this session go on.
fn pauses_open_sessions(server: Server) -> Result<(), Failed> {
    let mut session = Session::open(server.address())?;
    session.ask("select 1")?;
    ensure(
        session.answer(ANSWER).as_deref() == Some("1"),
        "no first answer",
    )?;
    server.pause()?;
    session.ask("select 2")?;
    let early = session.answer(SILENCE);
    ensure(
        early.is_none(),
        format!("a paused back end answered: {early:?}"),
    )?;
    server.resume()?;
    ensure(
        session.answer(ANSWER).as_deref() == Some("2"),
        "no answer after the pause",
    )
}

/// SIGKILL is a crash of the processes, not of their files.
fn keeps_commits(server: Server) -> Result<(), Failed> {
    client::psql(server.address(), "create table t as select 42 as n")?;
    server.kill()?;
    server.restart()?;
    let found = client::psql(server.address(), "select n from t")?;
    ensure(found == "42", format!("found {found:?}"))
}

/// JetStream stores its streams in the server's folder: they are there again after a kill, and go on.
fn keeps_streams(server: Server) -> Result<(), Failed> {
    let ask = |subject: &str, payload: &str, expected: &str| {
        let answer = client::nats(server.address(), subject, payload)?;
        ensure(
            answer.contains(expected) && !answer.contains("\"error\""),
            format!("{subject} answered {answer}, without {expected}"),
        )
    };
    let address = server.address();
    let stream = r#"{"name":"kept","subjects":["kept.*"],"storage":"file"}"#;
    ask("$JS.API.STREAM.CREATE.kept", stream, r#""name":"kept""#)?;
    for (message, sequence) in [("one", r#""seq":1"#), ("two", r#""seq":2"#)] {
        ask("kept.here", message, sequence)?;
    }
    server.kill()?;
    server.restart()?;
    ensure(server.address() == address, "it moved to another port")?;
    // In base64.
    for (message, data) in [(r#"{"seq":1}"#, "b25l"), (r#"{"seq":2}"#, "dHdv")] {
        let data = format!(r#""data":"{data}""#);
        ask("$JS.API.STREAM.MSG.GET.kept", message, &data)?;
    }
    ask("kept.here", "three", r#""seq":3"#)
}

/// Two sessions that are idle outside a transaction share one server connection.
fn pools_transactions(server: Server) -> Result<(), Failed> {
    let postgres = server.behind().ok_or("it brings a PostgreSQL")?;
    let mut backends = Vec::new();
    let mut sessions = [
        Session::open(server.address())?,
        Session::open(server.address())?,
    ];
    for session in &mut sessions {
        session.ask("select pg_backend_pid()")?;
        backends.push(session.answer(ANSWER).ok_or("no answer")?);
    }
    ensure(
        backends[0] == backends[1],
        format!("two back ends: {backends:?}"),
    )?;
    postgres.restart()?;
    eventually("answers through the pooler, whose server came back", || {
        server.ping(ANSWER)
    })
}

/// The URL's user may log in over TCP, and the binary log is by row.
fn lets_root_in(server: Server) -> Result<(), Failed> {
    let format = client::mariadb(server.address(), "select @@binlog_format")?;
    ensure(format == "ROW", format!("found {format:?}"))
}
