//! Switches that make the operations of the memory log fail.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

use std::time::Duration;

use invalidation_core::{Entry, ErrorKind, Invalidation, InvalidationLog, JoinsLog, MemoryLog};

fn everything() -> [Entry; 1] {
    [Entry::new(Invalidation::Everything)]
}

/// As many calls fail as were asked for, they change nothing, and the next succeeds.
#[tokio::test]
async fn the_next_calls_fail() {
    let log = MemoryLog::new();
    log.faults().appends().fail_next(2, ErrorKind::ReadOnly);
    for _ in 0..2 {
        let error = log.append(&everything()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ReadOnly);
    }
    assert!(log.is_empty());
    log.append(&everything()).await.unwrap();
    assert_eq!(log.len(), 1);
}

/// All calls fail until it is healed; the other operations and another handle do not.
#[tokio::test]
async fn all_calls_fail_until_healed() {
    let log = MemoryLog::new();
    let other = log.connect();
    log.faults().heads().fail_all(ErrorKind::Unavailable);
    for _ in 0..3 {
        let error = log.head().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    log.append(&everything()).await.unwrap();
    other.head().await.unwrap();
    log.faults().heads().heal();
    log.head().await.unwrap();
}

/// A lost answer is an error for something that happened, also for a commit.
#[tokio::test]
async fn a_lost_answer_has_happened() {
    let log = MemoryLog::new();
    log.faults()
        .appends()
        .lose_next_answers(1, ErrorKind::TimedOut);
    let error = log.append(&everything()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert_eq!(log.len(), 1);

    let mut tx = log.begin();
    tx.append_in(&log, &everything()).await.unwrap();
    log.faults()
        .commits()
        .lose_next_answers(1, ErrorKind::TimedOut);
    assert!(tx.commit().await.is_err());
    assert_eq!(log.len(), 2);

    let mut tx = log.begin();
    tx.append_in(&log, &everything()).await.unwrap();
    log.faults().commits().fail_next(1, ErrorKind::TimedOut);
    assert!(tx.commit().await.is_err());
    assert_eq!(log.len(), 2);
}

/// A call that hangs does nothing until released, is counted, and can be dropped.
#[tokio::test]
async fn a_hanging_call_goes_on_when_healed() {
    let log = MemoryLog::new();
    let appends = log.faults();
    let appends = appends.appends();
    appends.hang();
    let entries = everything();
    {
        let dropped = log.append(&entries);
        tokio::pin!(dropped);
        tokio::select! {
            _ = &mut dropped => panic!("it did not hang"),
            () = appends.begun_at_least(1) => {}
        }
    }
    let (result, ()) = tokio::join!(log.append(&entries), async {
        appends.begun_at_least(2).await;
        assert!(log.is_empty());
        appends.heal();
    });
    result.unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!((appends.begun(), appends.finished()), (2, 1));
    tokio::time::timeout(Duration::from_secs(5), appends.finished_at_least(1))
        .await
        .unwrap();
}

/// A call panics as asked, and the log is as good as before.
#[tokio::test]
async fn a_call_panics() {
    let log = MemoryLog::new();
    log.faults().heads().panic_next(1);
    let panicking = log.clone();
    let joined = tokio::spawn(async move { panicking.head().await }).await;
    assert!(joined.unwrap_err().is_panic());
    log.head().await.unwrap();
}
