//! One server of a kind for all tests of a process.

use invalidation_testbed::{Backend, Error, Server, shared};
use libtest_mimic::{Failed, Trial};

use crate::{ensure, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("redis::is_shared", shared_by_threads, are_one),
        trial(
            "pgbouncer::is_shared",
            pooler_and_postgres,
            is_before_the_shared_one,
        ),
    ]
}

/// Four threads at once.
fn shared_by_threads() -> Result<Vec<&'static Server>, Error> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| shared(Backend::Redis)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a start does not panic"))
            .collect()
    })
}

fn are_one(servers: Vec<&'static Server>) -> Result<(), Failed> {
    let one = servers
        .iter()
        .all(|server| std::ptr::eq(*server, servers[0]));
    ensure(one, "more than one was started")?;
    let private = Server::start(Backend::Redis)?;
    ensure(
        private.address() != servers[0].address(),
        "a private one was shared",
    )
}

fn pooler_and_postgres() -> Result<[&'static Server; 2], Error> {
    Ok([shared(Backend::Pgbouncer)?, shared(Backend::Postgres)?])
}

fn is_before_the_shared_one([pooler, postgres]: [&'static Server; 2]) -> Result<(), Failed> {
    pooler.ping(std::time::Duration::from_secs(10))?;
    let config = std::fs::read_to_string(pooler.folder().join("pgbouncer.ini"))?;
    let port = format!("port={}", postgres.address().port());
    ensure(config.contains(&port), format!("{port} is not in {config}"))
}
