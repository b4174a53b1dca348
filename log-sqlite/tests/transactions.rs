//! Entries that join a transaction of the caller.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use invalidation_core::{ErrorKind, InvalidationLog, JoinsLog, Nonce};
use invalidation_log_sqlite::SqliteLog;
use sqlx::{Connection, SqlitePool, sqlite::SqlitePoolOptions};
use support::{Database, connect, count, drain, entries, execute, keys};

async fn with_table(database: &Database) -> SqliteLog {
    let log = database.log().await;
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)",
    )
    .await;
    log
}

/// P2: the entry exists exactly if the business write does.
#[tokio::test]
async fn an_entry_shares_the_fate_of_its_transaction() {
    let database = Database::new();
    let log = with_table(&database).await;
    let head = log.head().await.unwrap();
    let mut connection = database.connect().await;
    let kept = keys(["1"]);
    for (id, commit) in [(1, true), (2, false), (3, false)] {
        let mut transaction = connection.begin().await.unwrap();
        sqlx::query("INSERT INTO users VALUES (?, 'x')")
            .bind(id)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let entry = if commit {
            kept.clone()
        } else {
            keys([id.to_string()])
        };
        transaction.append_in(&log, &[entry]).await.unwrap();
        match id {
            1 => transaction.commit().await.unwrap(),
            2 => transaction.rollback().await.unwrap(),
            _ => drop(transaction),
        }
    }
    assert_eq!(entries(&drain(&log, &head, 10).await.0), [kept]);
    assert_eq!(
        count(&mut connection, "SELECT count(*) FROM users").await,
        1
    );
}

/// P2: the position told inside the transaction is the one that is read later.
#[tokio::test]
async fn a_joined_entry_keeps_its_position() {
    let database = Database::new();
    let log = with_table(&database).await;
    let head = log.head().await.unwrap();
    let pool: SqlitePool = SqlitePoolOptions::new()
        .connect(&format!("sqlite://{}", database.path.display()))
        .await
        .unwrap();
    let mut pooled = pool.acquire().await.unwrap();
    let mut told = pooled.append_in(&log, &[keys(["1"])]).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    told.extend(
        transaction
            .append_in(&log, &[keys(["2"]), keys(["3"])])
            .await
            .unwrap(),
    );
    transaction.commit().await.unwrap();
    let (found, cursor) = drain(&log, &head, 10).await;
    let read: Vec<_> = found.into_iter().map(|logged| logged.position).collect();
    assert_eq!(read, told);
    assert!(told.iter().all(|position| log.covers(&cursor, position)));
}

/// P2: a transaction on a database without this log, with another log, or with a copy of this log is
/// refused, and nothing is written there.
#[tokio::test]
async fn another_database_is_refused() {
    let database = Database::new();
    let log = with_table(&database).await;
    let plain = Database::new();
    std::fs::File::create(&plain.path).unwrap();
    let other = Database::new();
    other.log().await;
    let copy = Database::new();
    execute(
        &mut database.connect().await,
        &format!("VACUUM INTO '{}'", copy.path.display()),
    )
    .await;
    for path in [&plain.path, &other.path, &copy.path] {
        let mut connection = connect(path).await;
        let refused = connection
            .append_in(&log, &[keys(["1"])])
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
        assert!(refused.message.contains("another database"), "{refused}");
    }
    for path in [&other.path, &copy.path] {
        let rows = "SELECT count(*) FROM cache_invalidation_log";
        assert_eq!(count(&mut connect(path).await, rows).await, 0);
    }
}

/// P2: an attached database that holds the log is refused, since a transaction over both would not be atomic.
#[tokio::test]
async fn an_attached_log_is_refused() {
    let database = Database::new();
    let log = with_table(&database).await;
    let main = Database::new();
    main.log().await;
    let mut connection = main.connect().await;
    execute(
        &mut connection,
        &format!("ATTACH '{}' AS other", database.path.display()),
    )
    .await;
    let refused = connection
        .append_in(&log, &[keys(["1"])])
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
}

/// P1: a temporary table of the same name does not swallow entries.
#[tokio::test]
async fn a_temporary_table_swallows_nothing() {
    let database = Database::new();
    let log = with_table(&database).await;
    let head = log.head().await.unwrap();
    let mut connection = database.connect().await;
    execute(
        &mut connection,
        "CREATE TEMP TABLE cache_invalidation_log (id, nonce, cache, scope, items)",
    )
    .await;
    let entry = keys(["1"]);
    connection
        .append_in(&log, std::slice::from_ref(&entry))
        .await
        .unwrap();
    assert_eq!(entries(&drain(&log, &head, 10).await.0), [entry]);
}

/// P2: the statement for other drivers appends the same, and changes no row in another log's database.
#[tokio::test]
async fn the_statement_appends_for_any_driver() {
    let database = Database::new();
    let log = with_table(&database).await;
    let head = log.head().await.unwrap();
    let mut written = vec![keys(["1", "ä\"\\"]), keys(["2"])];
    written[0].nonce = Nonce(u64::MAX - 1);
    written[1].nonce = Nonce(1 << 63);
    let statement = log.statement(&written).unwrap();
    let run = async |path| {
        let mut connection = connect(path).await;
        sqlx::query(sqlx::AssertSqlSafe(statement.sql.clone()))
            .bind(&statement.parameter)
            .execute(&mut connection)
            .await
            .unwrap()
            .rows_affected()
    };
    assert_eq!(run(&database.path).await, statement.rows);
    assert_eq!(statement.rows, 2);
    assert_eq!(entries(&drain(&log, &head, 10).await.0), written);
    let other = Database::new();
    other.log().await;
    assert_eq!(run(&other.path).await, 0);
}

/// A closed log refuses everything, and closing twice is no error.
#[tokio::test]
async fn a_closed_log_says_so() {
    let database = Database::new();
    let log = with_table(&database).await;
    let head = log.head().await.unwrap();
    log.close().await.unwrap();
    log.close().await.unwrap();
    let request = invalidation_core::ReadRequest::new(&head, support::start(1));
    let mut connection = database.connect().await;
    let errors = [
        log.append(&[keys(["1"])]).await.unwrap_err(),
        log.read(request).await.unwrap_err(),
        log.head().await.unwrap_err(),
        log.install().await.unwrap_err(),
        log.purge(std::time::Duration::ZERO).await.unwrap_err(),
        connection
            .append_in(&log, &[keys(["1"])])
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Closed, "{error}");
    }
}
