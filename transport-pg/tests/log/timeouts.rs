//! Statements that take too long.

use std::time::Duration;

use invalidation_core::{ErrorKind, InvalidationLog, ReadRequest, Retry};
use invalidation_testbed::{Backend, Server};
use invalidation_transport_pg::PgLog;
use libtest_mimic::Trial;

use crate::bed::{
    self, connect, database, drain, eventually, installed, key, run, start, url, value,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial(
            "P4_a_read_that_takes_too_long_ends",
            bed::shared,
            |server| async {
                a_read_that_takes_too_long_ends(server).await;
            },
        ),
        bed::trial(
            "P4_a_read_that_takes_too_long_ends_behind_a_pooler",
            || invalidation_testbed::shared(Backend::Pgbouncer),
            |pooler| async { a_read_that_takes_too_long_ends(pooler).await },
        ),
    ]
}

/// P4: a read that cannot be answered in time says so on the server's word, reads that were given up leave no statement
/// behind, and the next one finds all.
async fn a_read_that_takes_too_long_ends(way: &Server) {
    let postgres = bed::shared().unwrap();
    let database = database(postgres).await;
    let straight = url(postgres.address(), &database);
    let writer = installed(&straight).await;
    let log = PgLog::builder(&url(way.address(), &database))
        .read_timeout(Duration::from_millis(300))
        .connect()
        .await
        .unwrap();
    // Waits for as long as it takes on a busy machine.
    let head = eventually!("the head is read", log.head().await.ok());
    let entry = key("1");
    writer.append(std::slice::from_ref(&entry)).await.unwrap();
    let mut lock = connect(&straight).await;
    run(&mut lock, "BEGIN; LOCK TABLE cache_invalidation.log").await;
    let e = log
        .read(ReadRequest::new(&head, start(1)))
        .await
        .unwrap_err();
    assert_eq!(
        (e.kind, e.retry),
        (ErrorKind::TimedOut, Retry::Temporary),
        "{e}"
    );
    assert!(e.message.contains("57014"), "the server gave it up: {e}");
    for number in 2..7 {
        let request = ReadRequest::new(&head, start(number));
        let given_up = tokio::time::timeout(Duration::from_millis(20), log.read(request)).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
    let mut admin = connect(&straight).await;
    eventually!("no statement is left behind", {
        let waiting = "SELECT count(*)::text FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (value(&mut admin, waiting).await == "0").then_some(())
    });
    run(&mut lock, "ROLLBACK").await;
    assert_eq!(drain(&log, &head).await.unwrap().0, [entry]);
}
