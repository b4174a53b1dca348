//! What is old enough to be purged.

use std::time::Duration;

use invalidation_core::{GapReason, InvalidationLog, JoinsLog};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{connect, drain, installed, key, on_shared, run, scene, value};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_shared!(p13_retention_counts_from_visibility),
        on_shared!(p13_a_purge_is_told),
        on_shared!(p13_purges_at_once),
        on_shared!(p13_a_clock_that_was_set_back),
    ]
}

const HOUR: Duration = Duration::from_secs(3_600);

const LATER: &str =
    "UPDATE cache_invalidation_log SET stamped = stamped - INTERVAL 2 HOUR WHERE seq > 0";

/// P13: what a transaction appended that was open for longer than the retention is kept for the retention, and read
/// by who has read all else.
async fn p13_retention_counts_from_visibility(server: &Server) {
    let (log, url, _) = scene(server).await;
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
    run(&mut admin, LATER).await;
    run(&mut slow, "COMMIT").await;
    let purged = log.purge(HOUR).await.unwrap().entries;
    assert_eq!(purged, 3, "those that were visible two hours ago");
    assert_eq!(drain(&log, &cursor).await.unwrap().0, [late]);
    run(&mut admin, LATER).await;
    assert_eq!(
        log.purge(HOUR).await.unwrap().entries,
        0,
        "the newest is kept, however old it is"
    );
}

/// P13: a reader that had not passed what was purged is told, at once and after more was appended.
async fn p13_a_purge_is_told(server: &Server) {
    let (log, _, head) = scene(server).await;
    log.append(&[key("1"), key("2"), key("3")]).await.unwrap();
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 2);
    assert_eq!(drain(&log, &head).await.unwrap_err(), GapReason::Purged);
    log.append(&[key("4")]).await.unwrap();
    assert_eq!(drain(&log, &head).await.unwrap_err(), GapReason::Purged);
}

/// P13: two who purge at once delete each row once, more than a chunk of them, and only what was old enough.
async fn p13_purges_at_once(server: &Server) {
    let (log, url, _) = scene(server).await;
    let entries: Vec<_> = (0..2_500).map(|n| key(&n.to_string())).collect();
    log.append(&entries).await.unwrap();
    let other = installed(&url).await;
    let (one, two) = tokio::join!(log.purge(Duration::ZERO), other.purge(Duration::ZERO));
    let total = one.unwrap().entries + two.unwrap().entries;
    let last = log.purge(Duration::ZERO).await.unwrap().entries;
    assert_eq!(total + last, 2_499);
    let mut admin = connect(&url).await;
    let left = "SELECT COUNT(*) FROM cache_invalidation_log WHERE id > 0";
    assert_eq!(value::<i64>(&mut admin, left).await, 1);
}

/// P13: rows go in the order of their numbers, so that one with a stamp of a clock that was ahead keeps those behind it.
async fn p13_a_clock_that_was_set_back(server: &Server) {
    let (log, url, _) = scene(server).await;
    log.append(&[key("1"), key("2"), key("3"), key("4")])
        .await
        .unwrap();
    log.head().await.unwrap();
    let mut admin = connect(&url).await;
    run(&mut admin, LATER).await;
    run(
        &mut admin,
        "UPDATE cache_invalidation_log SET stamped = stamped + INTERVAL 1 DAY WHERE seq = 2",
    )
    .await;
    assert_eq!(log.purge(HOUR).await.unwrap().entries, 1);
    run(
        &mut admin,
        "UPDATE cache_invalidation_log SET stamped = stamped - INTERVAL 2 DAY",
    )
    .await;
    assert_eq!(log.purge(HOUR).await.unwrap().entries, 2);
}
