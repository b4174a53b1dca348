//! Transactions of the business that the log's entries join.

use invalidation_core::{ErrorKind, Invalidation, InvalidationLog, JoinsLog, Scope};
use invalidation_testbed::{Backend, Server};
use libtest_mimic::Trial;

use crate::bed::{connect, database, drain, key, on_own, on_shared, run, scene, url, value};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_own!(p2_another_server_is_refused),
        on_shared!(p2_any_database_of_the_server_joins),
        on_shared!(p16_joining_locks_nothing_of_others),
        on_shared!(texts_survive_any_session),
        on_shared!(what_is_too_large_is_refused),
    ]
}

/// P2: a transaction on another server, with a log of its own or without, is refused, and nothing is appended there.
async fn p2_another_server_is_refused(server: &Server) {
    let (log, _, _) = scene(server).await;
    let other = Server::start(Backend::Mariadb).unwrap();
    let empty = url(other.address(), &database(&other).await);
    let mut transaction = connect(&empty).await;
    run(&mut transaction, "BEGIN").await;
    let e = transaction.append_in(&log, &[key("1")]).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Invalid, "{e}");
    assert!(e.message.contains("another server"), "{e}");

    // A log in a database of the same name.
    let statement = log.statement(&[key("1")]).unwrap();
    let name = statement.sql.split('`').nth(1).unwrap();
    run(
        &mut transaction,
        &format!("CREATE DATABASE IF NOT EXISTS {name}"),
    )
    .await;
    let copy = crate::bed::installed(&url(other.address(), name)).await;
    let head = copy.head().await.unwrap();
    run(&mut transaction, "BEGIN").await;
    let e = transaction.append_in(&log, &[key("1")]).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Invalid, "{e}");
    run(&mut transaction, "COMMIT").await;
    assert_eq!(drain(&copy, &head).await.unwrap().0, []);
}

/// P2: a transaction that began in another database of the server joins the log as any other.
async fn p2_any_database_of_the_server_joins(server: &Server) {
    let (log, _, head) = scene(server).await;
    let elsewhere = url(server.address(), &database(server).await);
    let mut transaction = connect(&elsewhere).await;
    let entry = key("1");
    run(&mut transaction, "BEGIN").await;
    transaction
        .append_in(&log, std::slice::from_ref(&entry))
        .await
        .unwrap();
    run(&mut transaction, "COMMIT").await;
    assert_eq!(drain(&log, &head).await.unwrap().0, [entry]);
}

/// P16: at every level of isolation an entry that joined an open transaction keeps nobody from reading, stamping, appending
/// or purging.
async fn p16_joining_locks_nothing_of_others(server: &Server) {
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        let (log, url, head) = scene(server).await;
        let mut open = connect(&url).await;
        run(
            &mut open,
            &format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}; BEGIN"),
        )
        .await;
        open.append_in(&log, &[key("open")]).await.unwrap();
        log.append(&[key("1"), key("2"), key("3")]).await.unwrap();
        let (found, cursor) = drain(&log, &head).await.unwrap();
        assert_eq!(found.len(), 3, "{level}");
        let stamped = "SELECT COUNT(*) FROM cache_invalidation_log WHERE seq > 0";
        let mut admin = connect(&url).await;
        assert_eq!(value::<i64>(&mut admin, stamped).await, 3, "{level}");
        let purged = log.purge(std::time::Duration::ZERO).await.unwrap();
        assert_eq!(purged.entries, 2, "{level}");
        run(&mut open, "COMMIT").await;
        assert_eq!(
            drain(&log, &cursor).await.unwrap().0,
            [key_like("open", &log, &cursor).await]
        );
    }
}

/// The entry that stands behind the cursor, if it names this key.
async fn key_like(
    name: &str,
    log: &invalidation_log_mysql::MySqlLog,
    cursor: &invalidation_core::Cursor,
) -> invalidation_core::Entry {
    let mut found = drain(log, cursor).await.unwrap().0;
    let entry = found.pop().unwrap();
    assert_eq!(crate::bed::words(&entry), format!("users keys {name}"));
    entry
}

/// P2: keys come back as they were, whatever the session's character set, mode and quotes are.
async fn texts_survive_any_session(server: &Server) {
    let (log, url, head) = scene(server).await;
    let texts = ["ä🦀", "it's \"x\" `y` \\ \u{1} \u{0} %_", "a ", "A"];
    let entry = invalidation_core::Entry::new(Invalidation::Cache {
        cache: "café".try_into().unwrap(),
        scope: Scope::keys(texts),
    });
    let mut client = connect(&url).await;
    for set in [
        "SET NAMES latin1",
        "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
        "SET SESSION sql_mode = ''",
        "SET SESSION collation_connection = utf8mb4_unicode_ci",
    ] {
        run(&mut client, set).await;
        client
            .append_in(&log, std::slice::from_ref(&entry))
            .await
            .unwrap();
    }
    let (found, _) = drain(&log, &head).await.unwrap();
    assert_eq!(found, vec![entry; 4]);
}

/// Contract: what is larger than the server takes is refused before it is sent, and the log goes on.
async fn what_is_too_large_is_refused(server: &Server) {
    let (log, url, head) = scene(server).await;
    let large = key(&"x".repeat(17 << 20));
    let e = log.append(std::slice::from_ref(&large)).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::TooLarge, "{e}");
    assert!(e.message.contains("max_allowed_packet"), "{e}");
    let mut client = connect(&url).await;
    let e = client.append_in(&log, &[large]).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::TooLarge, "{e}");
    let small = key("1");
    client
        .append_in(&log, std::slice::from_ref(&small))
        .await
        .unwrap();
    assert_eq!(drain(&log, &head).await.unwrap().0, [small]);
}
