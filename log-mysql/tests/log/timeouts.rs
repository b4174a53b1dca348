//! Statements that take too long.

use std::time::Duration;

use invalidation_core::{ErrorKind, InvalidationLog, ReadRequest, Retry};
use invalidation_log_mysql::MySqlLog;
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{connect, drain, eventually, key, on_shared, run, scene, start, value};

pub(crate) fn trials() -> Vec<Trial> {
    vec![on_shared!(p4_a_read_that_takes_too_long_ends)]
}

/// P4: a read that cannot be answered in time says so, reads that were given up leave no statement behind, and the next
/// one finds all.
async fn p4_a_read_that_takes_too_long_ends(server: &Server) {
    let (writer, url, _) = scene(server).await;
    let log = MySqlLog::builder(&url)
        .read_timeout(Duration::from_millis(300))
        .write_timeout(Duration::from_millis(900))
        .connect()
        .await
        .unwrap();
    // Waits for as long as it takes on a busy machine.
    let head = eventually!("the head is read", log.head().await.ok());
    let entry = key("1");
    writer.append(std::slice::from_ref(&entry)).await.unwrap();
    let mut lock = connect(&url).await;
    run(&mut lock, "LOCK TABLES cache_invalidation_log WRITE").await;
    let e = log
        .read(ReadRequest::new(&head, start(1)))
        .await
        .unwrap_err();
    assert_eq!(
        (e.kind, e.retry),
        (ErrorKind::TimedOut, Retry::Temporary),
        "{e}"
    );
    for number in 2..7 {
        let request = ReadRequest::new(&head, start(number));
        let given_up = tokio::time::timeout(Duration::from_millis(20), log.read(request)).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let mut admin = connect(&url).await;
    eventually!("no statement is left behind", {
        let waiting = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST
             WHERE DB = '{database}' AND COMMAND = 'Query' AND ID <> CONNECTION_ID()"
        );
        (value::<i64>(&mut admin, &waiting).await == 0).then_some(())
    });
    run(&mut lock, "UNLOCK TABLES").await;
    assert_eq!(drain(&log, &head).await.unwrap().0, [entry]);
}
