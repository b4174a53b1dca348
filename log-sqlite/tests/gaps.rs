//! Pasts that changed: purged, replaced, restored, recreated.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::{fs, path::Path, time::Duration};

use invalidation_core::{Cursor, ErrorKind, GapReason, InvalidationLog, Page, ReadRequest};
use invalidation_log_sqlite::SqliteLog;
use support::{Database, connect, count, drain, entries, execute, expired, keys, read, start};

const ROWS: &str = "SELECT count(*) FROM cache_invalidation_log";

/// Puts the newest state of `from` into a file of its own.
async fn copy(from: &Database, name: &str) -> std::path::PathBuf {
    let path = from.folder.path().join(name);
    execute(
        &mut from.connect().await,
        &format!("VACUUM INTO '{}'", path.display()),
    )
    .await;
    path
}

/// Puts the file `new` at the path of `database`, as a restore by `mv` does.
fn replace(database: &Database, new: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut side = database.path.clone().into_os_string();
        side.push(suffix);
        // Left over when a connection is still open on the old file.
        let _absent = fs::remove_file(side);
    }
    fs::rename(new, &database.path).unwrap();
}

/// Puts the state at `saved` back into the open file, row by row, as a restore of tables does.
async fn restore_in_place(database: &Database, saved: &Path) {
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        &format!(
            "ATTACH '{}' AS saved;
             BEGIN IMMEDIATE;
             DELETE FROM main.cache_invalidation_log;
             INSERT INTO main.cache_invalidation_log SELECT * FROM saved.cache_invalidation_log;
             DELETE FROM main.sqlite_sequence WHERE name = 'cache_invalidation_log';
             INSERT INTO main.sqlite_sequence SELECT * FROM saved.sqlite_sequence
                 WHERE name = 'cache_invalidation_log';
             UPDATE main.cache_invalidation_meta SET (floor, floor_nonce) =
                 (SELECT floor, floor_nonce FROM saved.cache_invalidation_meta);
             COMMIT",
            saved.display()
        ),
    )
    .await;
}

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

/// P13: a cursor that has not passed what was purged is told; one that has reads on.
#[tokio::test]
async fn a_purge_past_a_reader_is_told() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 1).await;
    let behind = log.head().await.unwrap();
    append(&log, 1).await;
    let on_the_floor = log.head().await.unwrap();
    append(&log, 1).await;
    let ahead = log.head().await.unwrap();
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 2);
    assert_eq!(expired(&log, &behind).await, GapReason::Purged);
    assert_eq!(read_on(&log, &on_the_floor).await, 1);
    assert_eq!(read_on(&log, &ahead).await, 0);
}

/// P13: between two pages of one series a purge is told as well.
#[tokio::test]
async fn a_purge_between_two_pages_is_told() {
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    append(&log, 4).await;
    let mut request = ReadRequest::new(&head, start(1));
    request.max_entries = 1;
    let Page::Entries { next, .. } = log.read(request).await.unwrap() else {
        panic!("expected entries");
    };
    log.purge(Duration::ZERO).await.unwrap();
    assert_eq!(expired(&log, &next).await, GapReason::Purged);
}

/// P13: a purge of everything keeps the newest entry, which is the witness of all who have read it.
#[tokio::test]
async fn a_purge_keeps_the_newest_entry() {
    let database = Database::new();
    let log = database.log().await;
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 0);
    append(&log, 1_203).await;
    let head = log.head().await.unwrap();
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 1_202);
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 0);
    let mut connection = database.connect().await;
    assert_eq!(count(&mut connection, ROWS).await, 1);
    assert_eq!(read_on(&log, &head).await, 0);
    append(&log, 1).await;
    assert_eq!(read_on(&log, &head).await, 1);
}

/// P13: a purge that fails half way leaves the floor where it was.
#[tokio::test]
async fn a_failed_purge_moves_no_floor() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 1).await;
    let cursor = log.head().await.unwrap();
    append(&log, 2).await;
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        "CREATE TRIGGER refuse BEFORE DELETE ON cache_invalidation_log BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .await;
    log.purge(Duration::ZERO).await.unwrap_err();
    assert_eq!(
        count(&mut connection, "SELECT floor FROM cache_invalidation_meta").await,
        0
    );
    execute(&mut connection, "DROP TRIGGER refuse").await;
    assert_eq!(read_on(&log, &cursor).await, 2);
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 2);
}

/// P17: what is younger than the retention stays, and a clock that was once ahead does not stop the purge.
#[tokio::test]
async fn only_what_is_older_than_the_retention_goes() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 5).await;
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        "UPDATE cache_invalidation_log SET at = at - 3601 WHERE id = 1;
         UPDATE cache_invalidation_log SET at = at + 36000 WHERE id = 2;
         UPDATE cache_invalidation_log SET at = at - 3590 WHERE id = 3;
         UPDATE cache_invalidation_log SET at = at - 36000 WHERE id = 4",
    )
    .await;
    let purged = log.purge(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(
        purged.entries, 2,
        "nothing behind an entry that is kept goes"
    );
    assert_eq!(log.purge(Duration::MAX).await.unwrap().entries, 0);
    assert_eq!(count(&mut connection, ROWS).await, 3);
}

/// P10: a file that was replaced by an older copy under the same path is told, and then read.
#[tokio::test]
async fn an_older_copy_under_the_same_path_is_told() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 2).await;
    let older = copy(&database, "older").await;
    append(&log, 3).await;
    let cursor = log.head().await.unwrap();
    replace(&database, &older);
    assert_eq!(expired(&log, &cursor).await, GapReason::IdentityChanged);

    // The new file is the one that is written and read from here on.
    let head = log.head().await.unwrap();
    let positions = log.append(&[keys(["new"])]).await.unwrap();
    assert_eq!(log.identity().as_ref(), Some(&positions[0].identity));
    assert_eq!(read_on(&log, &head).await, 1);
    assert_eq!(count(&mut database.connect().await, ROWS).await, 3);
}

/// P10: a byte copy is another file, even though all that it holds is the same.
#[tokio::test]
async fn an_identical_copy_is_told() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 2).await;
    let cursor = log.head().await.unwrap();
    execute(
        &mut database.connect().await,
        "PRAGMA wal_checkpoint(TRUNCATE)",
    )
    .await;
    let same = database.folder.path().join("same");
    fs::copy(&database.path, &same).unwrap();
    replace(&database, &same);
    assert_eq!(expired(&log, &cursor).await, GapReason::IdentityChanged);
}

/// P1: an append after the file was replaced goes to the new one.
#[tokio::test]
async fn an_append_goes_to_the_file_that_is_there() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 2).await;
    let older = copy(&database, "older").await;
    replace(&database, &older);
    append(&log, 1).await;
    assert_eq!(count(&mut database.connect().await, ROWS).await, 3);
}

/// P1: an append is acknowledged only if it stands in the file that others read, also when that is replaced while
/// the append waits for the write lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_a_file_that_is_replaced_meanwhile_is_refused() {
    let database = Database::new();
    let log = std::sync::Arc::new(database.log().await);
    append(&log, 1).await;
    let mut refused = 0;
    let rounds = async {
        while refused < 3 {
            let next = copy(&database, "next").await;
            let mut holder = database.connect().await;
            let lock = sqlx::Connection::begin_with(&mut holder, "BEGIN IMMEDIATE")
                .await
                .unwrap();
            let before = count(&mut database.connect().await, ROWS).await;
            let task = tokio::spawn({
                let log = log.clone();
                async move { log.append(&[keys(["1"])]).await }
            });
            // It may or may not have opened the old file by now; both are tried often enough.
            log.head().await.unwrap();
            replace(&database, &next);
            lock.rollback().await.unwrap();
            let acknowledged = task.await.unwrap();
            let after = count(&mut database.connect().await, ROWS).await;
            match acknowledged {
                Ok(_) => assert_eq!(after, before + 1, "acknowledged, and nowhere to be read"),
                Err(e) => {
                    assert_eq!(e.kind, ErrorKind::Unavailable, "{e}");
                    refused += 1;
                }
            }
        }
    };
    tokio::time::timeout(support::DEADLINE, rounds)
        .await
        .unwrap();
}

/// P10: a database that was deleted and made anew is told, whether by this process or another.
#[tokio::test]
async fn a_recreated_log_is_told() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 2).await;
    let cursor = log.head().await.unwrap();
    let other = Database::new();
    other.log().await.close().await.unwrap();
    replace(&database, &other.path);
    assert_eq!(expired(&log, &cursor).await, GapReason::IdentityChanged);

    let cursor = log.head().await.unwrap();
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        "DROP TABLE cache_invalidation_log; DROP TABLE cache_invalidation_meta",
    )
    .await;
    let request = ReadRequest::new(&cursor, start(1));
    let missing = log.read(request.clone()).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Unavailable);
    assert!(missing.message.contains("install"), "{missing}");
    log.install().await.unwrap();
    assert_eq!(expired(&log, &cursor).await, GapReason::IdentityChanged);
}

/// P4: a path where no file stands is an error, never a complete read, and no file is made there.
#[tokio::test]
async fn a_missing_file_is_an_error() {
    let database = Database::new();
    let log = database.log().await;
    let cursor = log.head().await.unwrap();
    let away = database.folder.path().join("away");
    fs::rename(&database.path, &away).unwrap();
    let request = ReadRequest::new(&cursor, start(1));
    let errors = [
        log.read(request.clone()).await.unwrap_err(),
        log.head().await.unwrap_err(),
        log.append(&[keys(["1"])]).await.unwrap_err(),
        log.purge(Duration::ZERO).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert_eq!(error.retry, invalidation_core::Retry::Temporary);
    }
    assert!(!database.path.exists());
    fs::rename(&away, &database.path).unwrap();
    assert_eq!(read_on(&log, &cursor).await, 0);
}

/// P10: a state that was restored in place is told, even when others have appended up to the same id again.
#[tokio::test]
async fn a_state_restored_in_place_is_told() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 2).await;
    let earlier = log.head().await.unwrap();
    let saved = copy(&database, "saved").await;
    append(&log, 3).await;
    let cursor = log.head().await.unwrap();

    restore_in_place(&database, &saved).await;
    assert_eq!(expired(&log, &cursor).await, GapReason::WitnessLost);
    append(&log, 3).await;
    assert_eq!(expired(&log, &cursor).await, GapReason::WitnessLost);
    append(&log, 3).await;
    assert_eq!(expired(&log, &cursor).await, GapReason::WitnessLost);
    assert_eq!(
        read_on(&log, &earlier).await,
        6,
        "it had read no lost entry"
    );
}

/// P10: the witness of a cursor on the purge floor outlives its row, and tells a restore as well.
#[tokio::test]
async fn a_restore_is_told_to_a_cursor_on_the_floor() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 1).await;
    let saved = copy(&database, "saved").await;
    append(&log, 1).await;
    let cursor = log.head().await.unwrap();
    append(&log, 1).await;
    log.purge(Duration::ZERO).await.unwrap();
    assert_eq!(read_on(&log, &cursor).await, 1);

    restore_in_place(&database, &saved).await;
    append(&log, 2).await;
    log.purge(Duration::ZERO).await.unwrap();
    assert_eq!(expired(&log, &cursor).await, GapReason::WitnessLost);
}

/// P10: a cursor that was taken on an empty log has no witness; ids that were given back tell a restore.
#[tokio::test]
async fn a_restore_is_told_to_a_cursor_without_a_witness() {
    let database = Database::new();
    let log = database.log().await;
    let saved_empty = copy(&database, "saved_empty").await;
    let from_the_start = log.head().await.unwrap();
    append(&log, 2).await;
    let saved_two = copy(&database, "saved_two").await;
    assert_eq!(
        read_on(&log, &from_the_start).await,
        2,
        "nothing was missed"
    );
    append(&log, 1).await;
    let mut connection = database.connect().await;
    execute(&mut connection, "DELETE FROM cache_invalidation_log").await;
    let emptied = log.head().await.unwrap();
    assert_eq!(read_on(&log, &emptied).await, 0);

    restore_in_place(&database, &saved_empty).await;
    assert_eq!(expired(&log, &emptied).await, GapReason::WitnessLost);
    restore_in_place(&database, &saved_two).await;
    assert_eq!(expired(&log, &emptied).await, GapReason::WitnessLost);
    append(&log, 3).await;
    assert_eq!(expired(&log, &emptied).await, GapReason::WitnessLost);
    assert_eq!(read_on(&log, &from_the_start).await, 5);
}

/// P10: a tail deleted by hand takes the witness away, and its ids are not given again.
#[tokio::test]
async fn a_lost_tail_is_told() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 3).await;
    let cursor = log.head().await.unwrap();
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        "DELETE FROM cache_invalidation_log WHERE id > 1",
    )
    .await;
    assert_eq!(expired(&log, &cursor).await, GapReason::WitnessLost);
    let head = log.head().await.unwrap();
    append(&log, 1).await;
    assert_eq!(
        count(
            &mut connection,
            "SELECT max(id) FROM cache_invalidation_log"
        )
        .await,
        4
    );
    assert_eq!(read_on(&log, &head).await, 1);
}

/// P10, P13: a cursor behind a deleted tail keeps the newest row that was left as its witness, through purges and restores.
#[tokio::test]
async fn a_cursor_behind_a_deleted_tail_has_a_witness() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 1).await;
    let saved = copy(&database, "saved").await;
    append(&log, 2).await;
    let mut connection = database.connect().await;
    let delete = "DELETE FROM cache_invalidation_log WHERE id > 1";
    execute(&mut connection, delete).await;
    let cursor = log.head().await.unwrap();
    assert_eq!(read_on(&log, &cursor).await, 0);
    append(&log, 1).await;
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 1);
    assert_eq!(read_on(&log, &cursor).await, 1, "its witness was purged");
    append(&log, 1).await;
    assert_eq!(log.purge(Duration::ZERO).await.unwrap().entries, 1);
    assert_eq!(expired(&log, &cursor).await, GapReason::Purged);

    restore_in_place(&database, &saved).await;
    assert_eq!(expired(&log, &cursor).await, GapReason::WitnessLost);
    append(&log, 5).await;
    assert_eq!(expired(&log, &cursor).await, GapReason::WitnessLost);
}

/// P10: another log restored into the same file changes the identity; appends and joins follow it.
#[tokio::test]
async fn another_log_in_the_same_file_is_told() {
    use invalidation_core::JoinsLog;
    let database = Database::new();
    let log = database.log().await;
    append(&log, 1).await;
    let cursor = log.head().await.unwrap();
    let mut connection = connect(&database.path).await;
    let new_id = "UPDATE cache_invalidation_meta SET log_id = lower(hex(randomblob(16)))";
    execute(&mut connection, new_id).await;
    assert_eq!(expired(&log, &cursor).await, GapReason::IdentityChanged);
    let head = log.head().await.unwrap();
    execute(&mut connection, new_id).await;
    let appended = keys(["1"]);
    log.append(std::slice::from_ref(&appended)).await.unwrap();
    execute(&mut connection, new_id).await;
    let joined = keys(["2"]);
    connection
        .append_in(&log, std::slice::from_ref(&joined))
        .await
        .unwrap();
    assert_eq!(expired(&log, &head).await, GapReason::IdentityChanged);
    assert_eq!(count(&mut connection, ROWS).await, 3);
    let cursor = log.head().await.unwrap();
    append(&log, 1).await;
    assert_eq!(entries(&drain(&log, &cursor, 9).await.0).len(), 1);
}

/// P10: bytes that are no cursor of this log are an expired cursor, never an error or a panic.
#[tokio::test]
async fn an_unreadable_cursor_is_expired() {
    let database = Database::new();
    let log = database.log().await;
    append(&log, 1).await;
    let good = log.head().await.unwrap().as_bytes().to_vec();
    for length in 0..good.len() {
        let cut = Cursor::from_bytes(good[..length].to_vec());
        assert_eq!(expired(&log, &cut).await, GapReason::CursorUnreadable);
    }
    for byte in 0..good.len() {
        for flip in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[byte] ^= flip;
            expired(&log, &Cursor::from_bytes(bad)).await;
        }
    }
    let mut long = good;
    long.push(0);
    let long = Cursor::from_bytes(long);
    assert_eq!(expired(&log, &long).await, GapReason::CursorUnreadable);
}
