//! What is old enough to be purged.

use std::time::Duration;

use invalidation_core::{GapReason, InvalidationLog, JoinsLog};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{self, connect, database, drain, installed, key, run, url};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial(
            "P13_retention_counts_from_visibility",
            bed::own,
            |server| async move { retention_counts_from_visibility(&server).await },
        ),
        bed::trial(
            "P1_rows_deleted_by_hand_are_told",
            bed::own,
            |server| async move { rows_deleted_by_hand_are_told(&server).await },
        ),
    ]
}

const HOUR: Duration = Duration::from_secs(3_600);

/// P13: what a transaction appended that was open for longer than the retention is kept for the retention, and read
/// by who has read all else.
async fn retention_counts_from_visibility(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let mut slow = connect(&url).await;
    run(&mut slow, "BEGIN").await;
    let late = key("late");
    slow.append_in(&log, std::slice::from_ref(&late))
        .await
        .unwrap();
    log.append(&[key("1"), key("2"), key("3")]).await.unwrap();
    let cursor = log.head().await.unwrap();
    assert_eq!(log.purge(HOUR).await.unwrap().entries, 0);
    let mut admin = connect(&url).await;
    let later = "UPDATE cache_invalidation.ticks SET at = at - interval '2 hours'";
    run(&mut admin, later).await;
    run(&mut slow, "COMMIT").await;
    let purged = log.purge(HOUR).await.unwrap().entries;
    assert_eq!(
        purged, 2,
        "those that were visible two hours ago, and not the newest"
    );
    assert_eq!(drain(&log, &cursor).await.unwrap().0, [late]);
    assert_eq!(log.purge(HOUR).await.unwrap().entries, 0);
    run(&mut admin, later).await;
    assert_eq!(
        log.purge(HOUR).await.unwrap().entries,
        1,
        "it is old enough now"
    );
}

/// P1, P13: rows that go in another way than by a purge are told to every reader who had not read them, and by whatever
/// statement. Who had passed them reads on, beside a purge too, where no transaction of others was open meanwhile, so that
/// the server is the trial's own; a truncation is told to all.
async fn rows_deleted_by_hand_are_told(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let mut admin = connect(&url).await;
    for statement in [
        "DELETE FROM cache_invalidation.log",
        "DELETE FROM cache_invalidation.log WHERE id = (SELECT max(id) FROM cache_invalidation.log)",
        "DELETE FROM cache_invalidation.log WHERE id = (SELECT max(id) - 1 FROM cache_invalidation.log)",
        "WITH gone AS (DELETE FROM cache_invalidation.log RETURNING id) SELECT count(*) FROM gone",
        "BEGIN; SAVEPOINT a; DELETE FROM cache_invalidation.log; RELEASE a; COMMIT",
    ] {
        let before = log.head().await.unwrap();
        log.append(&[key("1"), key("2")]).await.unwrap();
        let after = log.head().await.unwrap();
        run(&mut admin, statement).await;
        let told = drain(&log, &before).await;
        assert_eq!(told, Err(GapReason::Purged), "{statement}");
        log.purge(Duration::ZERO).await.unwrap();
        let next = [key("3")];
        log.append(&next).await.unwrap();
        let read = drain(&log, &after).await.unwrap().0;
        assert_eq!(read, next, "{statement}");
    }
    let cursor = log.head().await.unwrap();
    run(&mut admin, "TRUNCATE cache_invalidation.log").await;
    let told = drain(&log, &cursor).await;
    assert_eq!(told, Err(GapReason::IdentityChanged));
    for key in ["1", "2", "3"].map(key) {
        log.append(&[key]).await.unwrap();
    }
    let cursor = log.head().await.unwrap();
    log.purge(Duration::ZERO).await.unwrap();
    for statement in [
        "DELETE FROM cache_invalidation.log WHERE id < 0",
        "BEGIN; DELETE FROM cache_invalidation.log; ROLLBACK",
    ] {
        run(&mut admin, statement).await;
    }
    assert_eq!(drain(&log, &cursor).await.unwrap().0, []);
}
