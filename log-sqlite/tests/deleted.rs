//! Rows that somebody deleted by hand.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use invalidation_core::{Completeness, Cursor, GapReason, InvalidationLog, Page, ReadRequest};
use invalidation_log_sqlite::SqliteLog;
use support::{Database, execute, expired, keys, read, start};

async fn append(log: &SqliteLog, count: usize) {
    for key in 0..count {
        log.append(&[keys([key.to_string()])]).await.unwrap();
    }
}

async fn read_on(log: &SqliteLog, after: &Cursor) -> usize {
    match read(log, after).await {
        Page::Entries { entries, .. } => entries.len(),
        other => panic!("expected entries, found {other:?}"),
    }
}

/// Reads page by page to a gap; its reason, and where to read on.
async fn read_to_a_gap(log: &SqliteLog, after: &Cursor, page: usize) -> (GapReason, Cursor) {
    let mut after = after.clone();
    loop {
        let mut request = ReadRequest::new(&after, start(1));
        request.max_entries = page;
        match log.read(request).await.unwrap() {
            Page::Expired { next, reason, .. } => return (reason, next),
            Page::Entries { next, complete, .. } => {
                assert_eq!(complete, Completeness::Partial, "complete, and no gap");
                after = next;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// P1, P10: rows that a reader has not read and that were deleted by hand are told, wherever they stood, with or without
/// appends in between; once, and not to those who had read them.
#[tokio::test]
async fn rows_deleted_by_hand_are_told_to_who_had_not_read_them() {
    let deletions = ["id > 1", "id = 4", "id = 2", "id IN (2, 3)", "id = 3"];
    for deleted in deletions {
        for appended in [0, 1, 5] {
            for page in [1, 100] {
                let database = Database::new();
                let log = database.log().await;
                let from_the_start = log.head().await.unwrap();
                append(&log, 1).await;
                let behind = log.head().await.unwrap();
                append(&log, 3).await;
                let delete = format!("DELETE FROM cache_invalidation_log WHERE {deleted}");
                execute(&mut database.connect().await, &delete).await;
                let cold = log.head().await.unwrap();
                append(&log, appended).await;
                for cursor in [from_the_start, behind] {
                    let (reason, next) = read_to_a_gap(&log, &cursor, page).await;
                    assert_eq!(reason, GapReason::EntriesLost, "{deleted}");
                    assert_eq!(read_on(&log, &next).await, 0, "told once");
                    append(&log, 1).await;
                    assert_eq!(read_on(&log, &next).await, 1, "read on");
                }
                assert_eq!(read_on(&log, &cold).await, appended + 2, "no gap to it");
            }
        }
    }
}

/// P1, P10: when all rows are deleted by hand, one who had read none of them has no witness, and is told all the same.
#[tokio::test]
async fn a_deletion_of_all_is_told_to_a_cursor_without_a_witness() {
    let database = Database::new();
    let log = database.log().await;
    let from_the_start = log.head().await.unwrap();
    append(&log, 3).await;
    let mut connection = database.connect().await;
    execute(&mut connection, "DELETE FROM cache_invalidation_log").await;
    assert_eq!(expired(&log, &from_the_start).await, GapReason::EntriesLost);
    append(&log, 1).await;
    assert_eq!(expired(&log, &from_the_start).await, GapReason::EntriesLost);
}

/// P20: whatever became of SQLite's own count of the ids, a gap is told once.
#[tokio::test]
async fn a_changed_count_of_ids_is_told_once_at_most() {
    for change in [
        "DELETE FROM sqlite_sequence",
        "UPDATE sqlite_sequence SET seq = 1",
        "UPDATE sqlite_sequence SET seq = 100",
        "UPDATE sqlite_sequence SET seq = 'many'",
    ] {
        let database = Database::new();
        let log = database.log().await;
        append(&log, 3).await;
        let cursor = log.head().await.unwrap();
        execute(&mut database.connect().await, change).await;
        let next = match read(&log, &cursor).await {
            Page::Entries { next, .. } | Page::Expired { next, .. } => next,
            other => panic!("{other:?}"),
        };
        assert_eq!(read_on(&log, &next).await, 0, "{change}");
        append(&log, 1).await;
        assert_eq!(read_on(&log, &next).await, 1, "{change}");
    }
}

/// P12: a row that SQLite left out since it was malformed was meant as an invalidation, so the hole it leaves is told.
#[tokio::test]
async fn a_row_that_was_left_out_as_malformed_is_told() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 1).await;
    let cursor = log.head().await.unwrap();
    execute(
        &mut database.connect().await,
        "INSERT OR IGNORE INTO cache_invalidation_log (cache, scope) VALUES ('users', NULL)",
    )
    .await;
    assert_eq!(expired(&log, &cursor).await, GapReason::EntriesLost);
    append(&log, 1).await;
    assert_eq!(expired(&log, &cursor).await, GapReason::EntriesLost);
}
