//! Reading on from a cursor.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use invalidation_core::{
    Completeness, Entry, Invalidation, InvalidationLog, Nonce, Page, ReadRequest, Scope,
};
use invalidation_log_sqlite::Attach;
use sqlx::Connection;
use support::{Database, cache, connect, count, drain, entries, execute, keys, read, start};

/// P1: what was appended is read, in order and unchanged, whatever its scope, its texts and its nonce.
#[tokio::test]
async fn appended_entries_are_read_unchanged() {
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    let odd = [
        "",
        "ä:\\\"'[]{}",
        "\u{0}\u{1}\n",
        "🦀",
        "null",
        "9007199254740993",
    ];
    let mut appended = vec![
        keys(odd),
        Entry::new(Invalidation::Everything),
        Entry::new(Invalidation::Cache {
            cache: cache("café \"x\""),
            scope: Scope::All,
        }),
        Entry::new(Invalidation::Cache {
            cache: cache("t"),
            scope: Scope::tags(odd),
        }),
    ];
    for nonce in [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, (1 << 53) + 1] {
        appended.push(Entry {
            nonce: Nonce(nonce),
            ..keys([nonce.to_string()])
        });
    }
    let positions = log.append(&appended).await.unwrap();
    let (found, _) = drain(&log, &head, 1_000).await;
    assert_eq!(entries(&found), appended);
    let found_at: Vec<_> = found.into_iter().map(|entry| entry.position).collect();
    assert_eq!(found_at, positions);
}

/// P4: a page is complete as of its own start exactly when nothing is left behind it.
#[tokio::test]
async fn only_the_last_page_is_complete() {
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    log.append(&[keys(["1"]), keys(["2"]), keys(["3"])])
        .await
        .unwrap();
    let page = async |after, max_entries, max_bytes, number| {
        let mut request = ReadRequest::new(after, start(number));
        request.series_started = start(1);
        request.max_entries = max_entries;
        request.max_bytes = max_bytes;
        match log.read(request).await.unwrap() {
            Page::Entries {
                entries,
                next,
                complete,
            } => (entries.len(), next, complete),
            other => panic!("{other:?}"),
        }
    };
    let (count, next, complete) = page(&head, 2, 1 << 20, 1).await;
    assert_eq!((count, complete), (2, Completeness::Partial));
    let (count, next, complete) = page(&next, 2, 1 << 20, 2).await;
    assert_eq!((count, complete), (1, Completeness::AsOf(start(2))));
    let (count, _, complete) = page(&next, 2, 1 << 20, 3).await;
    assert_eq!((count, complete), (0, Completeness::AsOf(start(3))));
    let (count, _, complete) = page(&head, 3, 1 << 20, 4).await;
    assert_eq!((count, complete), (3, Completeness::AsOf(start(4))));
    let (count, _, complete) = page(&head, 3, 1, 5).await;
    assert_eq!((count, complete), (1, Completeness::Partial), "max_bytes");
    let (count, _, complete) = page(&head, 0, 0, 6).await;
    assert_eq!((count, complete), (1, Completeness::Partial), "never none");
}

/// P1: each committed entry is read exactly once beside concurrent writers with savepoints and rollbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_committed_entry_is_read_exactly_once() {
    const WRITERS: usize = 4;
    const EACH: usize = 60;
    let database = Database::new();
    let log = Arc::new(database.log().await);
    let mut cursor = log.head().await.unwrap();

    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let path = database.path.clone();
        let log = log.clone();
        writers.push(tokio::spawn(async move {
            use invalidation_core::JoinsLog;
            let mut connection = connect(&path).await;
            let mut committed = Vec::new();
            for round in 0..EACH {
                let name = |what: &str| keys([format!("{writer}/{round}/{what}")]);
                let (kept, undone) = (name("kept"), name("undone"));
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
                transaction
                    .append_in(&log, std::slice::from_ref(&kept))
                    .await
                    .unwrap();
                let mut savepoint = transaction.begin().await.unwrap();
                savepoint.append_in(&log, &[undone]).await.unwrap();
                savepoint.rollback().await.unwrap();
                if round % 3 == 0 {
                    transaction.rollback().await.unwrap();
                } else {
                    transaction.commit().await.unwrap();
                    committed.push(kept);
                }
                if round % 5 == 0 {
                    let alone = name("alone");
                    log.append(std::slice::from_ref(&alone)).await.unwrap();
                    committed.push(alone);
                }
            }
            committed
        }));
    }
    let mut found = Vec::new();
    while !writers.iter().all(|writer| writer.is_finished()) {
        let (more, next) = drain(&log, &cursor, 3).await;
        found.extend(entries(&more));
        cursor = next;
        tokio::task::yield_now().await;
    }
    found.extend(entries(&drain(&log, &cursor, 3).await.0));

    let mut expected = Vec::new();
    for writer in writers {
        expected.extend(writer.await.unwrap());
    }
    let times = |entries: &[Entry]| {
        let mut times = BTreeMap::new();
        for entry in entries {
            *times.entry(entry.nonce).or_insert(0) += 1;
        }
        times
    };
    assert_eq!(times(&found), times(&expected));
}

/// P1, P16: a transaction that is open across many polls delays no reader, and is read once it commits.
#[tokio::test]
async fn an_open_transaction_is_read_after_it_commits() {
    use invalidation_core::JoinsLog;
    let database = Database::new();
    let log = database.log().await;
    let mut cursor = log.head().await.unwrap();
    let late = keys(["late"]);
    let mut connection = database.connect().await;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    transaction
        .append_in(&log, std::slice::from_ref(&late))
        .await
        .unwrap();
    for number in 0..50 {
        match log
            .read(ReadRequest::new(&cursor, start(number)))
            .await
            .unwrap()
        {
            Page::Entries {
                entries,
                next,
                complete,
            } => {
                assert!(entries.is_empty());
                assert_eq!(complete, Completeness::AsOf(start(number)));
                cursor = next;
            }
            other => panic!("{other:?}"),
        }
    }
    transaction.commit().await.unwrap();
    assert_eq!(entries(&drain(&log, &cursor, 10).await.0), [late]);
}

/// P1: transactions that are rolled back, and statements that fail or do nothing, leave no hole that a reader would take
/// for a gap.
#[tokio::test]
async fn what_did_not_happen_is_no_gap() {
    const ROW: &str = "INSERT INTO cache_invalidation_log (cache, scope) VALUES ('users', 'all')";
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    let mut other = database.connect().await;
    execute(
        &mut other,
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    )
    .await;
    let users = Attach::to(cache("users")).key("{id}");
    log.attach("users", &users).await.unwrap();
    execute(
        &mut other,
        &format!(
            "{ROW}; BEGIN; {ROW}; {ROW}; ROLLBACK;
             BEGIN; {ROW}; SAVEPOINT here; {ROW}; {ROW}; ROLLBACK TO here; {ROW}; COMMIT;
             INSERT OR IGNORE INTO users VALUES (1, 'a'), (2, 'a'), (3, 'b');
             INSERT OR REPLACE INTO users VALUES (4, 'a');
             DELETE FROM users WHERE id = 99;
             VACUUM"
        ),
    )
    .await;
    for failing in [
        "INSERT INTO cache_invalidation_log (cache, scope) VALUES ('users', 'all'), ('users', NULL)",
        "INSERT OR FAIL INTO cache_invalidation_log (cache, scope) VALUES ('users', 'all'), ('users', NULL)",
        "INSERT INTO users VALUES (5, 'c'), (6, 'c')",
        "INSERT OR FAIL INTO users VALUES (7, 'd'), (8, 'd')",
        "BEGIN; INSERT OR ROLLBACK INTO users VALUES (9, 'e'), (9, 'e')",
    ] {
        sqlx::raw_sql(failing)
            .execute(&mut other)
            .await
            .unwrap_err();
        // The rows behind it, and none.
        for behind in [0, 1] {
            if behind == 1 {
                execute(&mut other, ROW).await;
            }
            let rows = count(&mut other, "SELECT count(*) FROM cache_invalidation_log").await;
            let read = drain(&log, &head, 1).await.0.len();
            assert_eq!(i64::try_from(read).unwrap(), rows, "after {failing}");
        }
    }
}

/// `covers` tells whether a cursor has passed a position of the same log.
#[tokio::test]
async fn a_cursor_covers_what_it_has_passed() {
    let database = Database::new();
    let log = database.log().await;
    let before = log.head().await.unwrap();
    let positions = log.append(&[keys(["1"]), keys(["2"])]).await.unwrap();
    let after = log.head().await.unwrap();
    let mut request = ReadRequest::new(&before, start(1));
    request.max_entries = 1;
    let Page::Entries { next: between, .. } = log.read(request).await.unwrap() else {
        panic!("expected entries");
    };
    let covered = |cursor| [0, 1].map(|i: usize| log.covers(cursor, &positions[i]));
    assert_eq!(covered(&before), [false, false]);
    assert_eq!(covered(&between), [true, false]);
    assert_eq!(covered(&after), [true, true]);
    let elsewhere = Database::new();
    let stranger = elsewhere.log().await;
    let elsewhere = stranger.append(&[keys(["1"])]).await.unwrap();
    assert!(!log.covers(&after, &elsewhere[0]));
}

/// P11: a row too large to be fetched widens to its cache.
#[tokio::test]
async fn a_huge_row_widens() {
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    let mut other = database.connect().await;
    execute(
        &mut other,
        "INSERT INTO cache_invalidation_log (cache, scope, items)
         VALUES ('users', 'keys', '[\"' || replace(hex(zeroblob(9000000)), '0', 'x') || '\"]')",
    )
    .await;
    let Page::Entries { entries, .. } = read(&log, &head).await else {
        panic!("expected entries");
    };
    assert_eq!(support::shortly(&entries), ["users/?"]);
}

/// Appends of many concurrent callers all succeed, each with positions of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_are_kept_apart() {
    let database = Database::new();
    let log = Arc::new(database.log().await);
    let head = log.head().await.unwrap();
    let callers: Vec<_> = (0..200)
        .map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                let mine = [keys([format!("{caller}/a")]), keys([format!("{caller}/b")])];
                let positions = log.append(&mine).await.unwrap();
                (mine, positions)
            })
        })
        .collect();
    let mut by_position = std::collections::HashMap::new();
    for caller in callers {
        let (mine, positions) = caller.await.unwrap();
        for (entry, position) in mine.into_iter().zip(positions) {
            assert!(by_position.insert(position, entry).is_none());
        }
    }
    let (found, _) = drain(&log, &head, 1_000).await;
    assert_eq!(found.len(), 400);
    for logged in &found {
        assert_eq!(
            by_position.get(&logged.position),
            Some(support::entry(logged))
        );
    }
}
