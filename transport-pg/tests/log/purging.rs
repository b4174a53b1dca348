//! What is old enough to be purged.

use std::time::Duration;

use invalidation_core::{InvalidationLog, JoinsLog};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{self, connect, database, drain, installed, key, run, url};

pub(crate) fn trials() -> Vec<Trial> {
    vec![bed::trial(
        "P13_retention_counts_from_visibility",
        bed::own,
        |server| async move { retention_counts_from_visibility(&server).await },
    )]
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
