//! Rows that this version cannot read.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use invalidation_core::{ErrorKind, InvalidationLog};
use invalidation_log_sqlite::SqliteLog;
use support::{Database, count, drain, execute, shortly};

/// P12: what cannot be read widens to its cache if that can be read, else to everything; it is never an error,
/// and what follows is read.
#[tokio::test]
async fn unreadable_rows_widen() {
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    let mut connection = database.connect().await;
    let rows = [
        ("'users', 'keys', '[\"1\",\"2\"]'", "users/keys/1,2"),
        ("'users', 'tags', '[]'", "users/tags/"),
        ("'users', 'all', 'whatever'", "users/all"),
        ("NULL, 'everything', '[]'", "everything"),
        // From a newer version.
        ("'users', 'prefixes', '[\"1\"]'", "users/?"),
        ("'users', 'KEYS', '[\"1\"]'", "users/?"),
        ("'users', 7, '[]'", "users/?"),
        ("'users', x'00', '[]'", "users/?"),
        ("'users', '', '[]'", "users/?"),
        // Items.
        ("'users', 'keys', '['", "users/?"),
        ("'users', 'keys', ''", "users/?"),
        ("'users', 'keys', '{\"a\":1}'", "users/?"),
        ("'users', 'keys', '[1]'", "users/?"),
        ("'users', 'keys', '[null]'", "users/?"),
        ("'users', 'keys', '[\"1\"] x'", "users/?"),
        ("'users', 'keys', x'5b5d'", "users/?"),
        ("'users', 'keys', 1.5", "users/?"),
        ("'users', 'keys', CAST(x'5b22ff225d' AS TEXT)", "users/?"),
        // The cache.
        ("NULL, 'keys', '[\"1\"]'", "?"),
        ("NULL, 'all', '[]'", "?"),
        ("'', 'all', '[]'", "?"),
        ("'a' || char(10), 'all', '[]'", "?"),
        ("CAST(x'ff' AS TEXT), 'all', '[]'", "?"),
        ("x'41', 'all', '[]'", "?"),
        ("printf('%.200c', 'x'), 'all', '[]'", "?"),
        ("'users', 'everything', '[]'", "?"),
    ];
    for (values, _) in rows {
        execute(
            &mut connection,
            &format!("INSERT INTO cache_invalidation_log (cache, scope, items) VALUES ({values})"),
        )
        .await;
    }
    for (nonce, _) in [("'x'", ()), ("x'00'", ()), ("1.5", ())] {
        execute(
            &mut connection,
            &format!(
                "INSERT INTO cache_invalidation_log (nonce, cache, scope) VALUES ({nonce}, 'users', 'all')"
            ),
        )
        .await;
    }
    let mut expected: Vec<&str> = rows.iter().map(|(_, expected)| *expected).collect();
    expected.extend(["users/?"; 3]);
    // Page by page, so that every one of them is the witness once.
    let (found, last) = drain(&log, &head, 1).await;
    assert_eq!(shortly(&found), expected);
    assert!(drain(&log, &last, 1).await.0.is_empty());
}

/// A row written by hand, with nothing but what is needed, has a nonce of its own.
#[tokio::test]
async fn a_row_written_by_hand_has_a_nonce() {
    let database = Database::new();
    let log = database.log().await;
    let head = log.head().await.unwrap();
    let mut connection = database.connect().await;
    for _ in 0..2 {
        execute(
            &mut connection,
            "INSERT INTO cache_invalidation_log (cache, scope) VALUES ('users', 'all')",
        )
        .await;
    }
    let (found, _) = drain(&log, &head, 10).await;
    assert_ne!(
        support::entry(&found[0]).nonce,
        support::entry(&found[1]).nonce
    );
}

/// A log of a newer version is refused with what to do about it, by install and by a node that runs.
#[tokio::test]
async fn a_newer_version_is_refused() {
    let database = Database::new();
    let log = database.log().await;
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        "UPDATE cache_invalidation_meta SET version = 2",
    )
    .await;
    let other = SqliteLog::open(&database.path).await.unwrap();
    for error in [
        other.install().await,
        log.install().await,
        log.head().await.map(|_| ()),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Incompatible);
        assert!(error.message.contains("version 2"), "{error}");
        assert!(error.message.contains("upgrade"), "{error}");
    }
}

/// Installing again changes nothing, and leaves the tables of the service alone.
#[tokio::test]
async fn install_is_idempotent() {
    let database = Database::new();
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&database.path)
        .create_if_missing(true);
    connection = connection.foreign_keys(false);
    let mut connection = sqlx::ConnectOptions::connect(&connection).await.unwrap();
    execute(
        &mut connection,
        "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)",
    )
    .await;
    let log = database.log().await;
    let identity = log.identity().unwrap();
    log.append(&[support::keys(["1"])]).await.unwrap();
    log.install().await.unwrap();
    let again = database.log().await;
    assert_eq!(again.identity().unwrap(), identity);
    assert_eq!(count(&mut connection, "SELECT count(*) FROM mine").await, 1);
    assert_eq!(
        count(
            &mut connection,
            "SELECT count(*) FROM cache_invalidation_log"
        )
        .await,
        1
    );
}
