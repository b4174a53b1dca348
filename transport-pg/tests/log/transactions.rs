//! Transactions of the business that the log's entries join.

use invalidation_core::{ErrorKind, InvalidationLog, JoinsLog};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{self, connect, database, drain, installed, key, run, url};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial(
            "P2_another_database_is_refused",
            bed::shared,
            |server| async {
                another_database_is_refused(server).await;
            },
        ),
        bed::trial(
            "P2_a_database_in_a_tablespace_is_told_from_its_copies",
            bed::shared,
            |server| async {
                a_database_in_a_tablespace_is_told(server).await;
            },
        ),
        bed::trial(
            "P1_P2_a_prepared_transaction_is_read_once_it_commits",
            bed::shared,
            |server| async {
                a_prepared_transaction_is_read_once_it_commits(server).await;
            },
        ),
        bed::trial(
            "P1_a_reader_that_was_idle_misses_nothing",
            bed::shared,
            |server| async {
                a_reader_that_was_idle_misses_nothing(server).await;
            },
        ),
        bed::trial(
            "P1_P10_a_dump_restored_elsewhere_begins_anew",
            bed::shared,
            |server| async {
                a_copy_of_a_database_begins_anew(server).await;
            },
        ),
    ]
}

/// P2: a transaction on a database without the log, with another log, or with a copy of this one is refused, and
/// nothing is appended.
async fn another_database_is_refused(server: &Server) {
    let name = database(server).await;
    let log = installed(&url(server.address(), &name)).await;
    let empty = url(server.address(), &database(server).await);
    let other = url(server.address(), &database(server).await);
    installed(&other).await.close().await.unwrap();
    // No session may be in a database that is copied.
    log.close().await.unwrap();
    let mut admin = connect(&url(server.address(), "postgres")).await;
    bed::eventually!("the database is copied", {
        let copy = format!("CREATE DATABASE {name}_copy TEMPLATE {name}");
        let copied = sqlx::raw_sql(sqlx::AssertSqlSafe(copy))
            .execute(&mut admin)
            .await;
        copied.ok().map(|_| ())
    });
    let log = installed(&url(server.address(), &name)).await;
    let copy = url(server.address(), &format!("{name}_copy"));
    for database in [empty, other, copy] {
        let mut transaction = connect(&database).await;
        run(&mut transaction, "BEGIN").await;
        let e = transaction.append_in(&log, &[key("1")]).await.unwrap_err();
        assert_eq!(e.kind, ErrorKind::Invalid, "{e}");
        assert!(e.message.contains("another database"), "{e}");
        let statement = log.statement(&[key("1")]).unwrap();
        run(&mut transaction, "ROLLBACK").await;
        let inserted = sqlx::query(sqlx::AssertSqlSafe(statement.sql))
            .bind(statement.parameter)
            .execute(&mut transaction)
            .await;
        assert!(
            inserted.is_err() || inserted.is_ok_and(|done| done.rows_affected() == 0),
            "the statement inserts nothing there"
        );
    }
}

/// P2: the same for databases in a tablespace, whose files have longer paths: that of the log is joined, a copy in the same
/// tablespace is refused.
async fn a_database_in_a_tablespace_is_told(server: &Server) {
    let mut admin = connect(&url(server.address(), "postgres")).await;
    // Without a folder of its own, which the server's user would have to own.
    run(&mut admin, "SET allow_in_place_tablespaces = on").await;
    run(&mut admin, "CREATE TABLESPACE elsewhere LOCATION ''").await;
    run(&mut admin, "CREATE DATABASE there TABLESPACE elsewhere").await;
    let there = url(server.address(), "there");
    installed(&there).await.close().await.unwrap();
    bed::eventually!("the database is copied", {
        let copied =
            sqlx::raw_sql("CREATE DATABASE there_copy TEMPLATE there TABLESPACE elsewhere")
                .execute(&mut admin)
                .await;
        copied.ok().map(|_| ())
    });
    let log = installed(&there).await;
    let head = log.head().await.unwrap();
    let mut session = connect(&there).await;
    run(&mut session, "BEGIN").await;
    session.append_in(&log, &[key("1")]).await.unwrap();
    run(&mut session, "COMMIT").await;
    assert_eq!(drain(&log, &head).await.unwrap().0.len(), 1);
    let mut copy = connect(&url(server.address(), "there_copy")).await;
    run(&mut copy, "BEGIN").await;
    let e = copy.append_in(&log, &[key("2")]).await.unwrap_err();
    assert!(e.message.contains("another database"), "{e}");
}

/// P1, P2: a transaction that is prepared, and so outlives its session, is read once it has committed.
async fn a_prepared_transaction_is_read_once_it_commits(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let head = log.head().await.unwrap();
    let mut session = connect(&url).await;
    for (name, end) in [("kept", "COMMIT"), ("undone", "ROLLBACK")] {
        run(&mut session, "BEGIN").await;
        session.append_in(&log, &[key(name)]).await.unwrap();
        run(&mut session, &format!("PREPARE TRANSACTION '{name}'")).await;
        let (found, cursor) = drain(&log, &head).await.unwrap();
        let before = found.len();
        run(&mut session, &format!("{end} PREPARED '{name}'")).await;
        let (found, _) = drain(&log, &cursor).await.unwrap();
        assert_eq!(found.len(), usize::from(end == "COMMIT"), "{before}");
    }
}

/// P1, P10: in a copy of the database the rows and the floor are of other transactions: it begins anew, old cursors
/// expire, and what is appended is read once.
async fn a_copy_of_a_database_begins_anew(server: &Server) {
    let name = database(server).await;
    let log = installed(&url(server.address(), &name)).await;
    log.append(&[key("1"), key("2"), key("3")]).await.unwrap();
    log.purge(std::time::Duration::ZERO).await.unwrap();
    let cursor = log.head().await.unwrap();
    log.close().await.unwrap();
    // As a dump of a server that was far ahead: its xids never come here.
    let mut admin = connect(&url(server.address(), &name)).await;
    run(
        &mut admin,
        "UPDATE cache_invalidation.meta SET floor_xid = '1000000000', home = '1/2/3'",
    )
    .await;
    run(
        &mut admin,
        "UPDATE cache_invalidation.log SET xid = (xid::text::bigint + 1000000000)::text::xid8",
    )
    .await;
    let log = installed(&url(server.address(), &name)).await;
    let reason = drain(&log, &cursor).await.unwrap_err();
    assert_eq!(reason, invalidation_core::GapReason::IdentityChanged);
    let head = log.head().await.unwrap();
    let entries = [key("a"), key("b")];
    log.append(&entries).await.unwrap();
    let (found, cursor) = drain(&log, &head).await.unwrap();
    assert_eq!(found, entries);
    assert_eq!(drain(&log, &cursor).await.unwrap().0, []);
}

/// P1: one whose last reads found nothing reads what comes then: of a transaction that was open meanwhile, of one that
/// began later, and of both.
async fn a_reader_that_was_idle_misses_nothing(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    for (late, others) in [(true, false), (false, true), (true, true)] {
        let mut slow = connect(&url).await;
        run(&mut slow, "BEGIN").await;
        let (first, second) = (key("late"), key("other"));
        slow.append_in(&log, std::slice::from_ref(&first))
            .await
            .unwrap();
        // A later one that has ended: without it the open one counts as not begun.
        log.append(&[key("between")]).await.unwrap();
        let mut cursor = log.head().await.unwrap();
        for _ in 0..3 {
            let (found, next) = drain(&log, &cursor).await.unwrap();
            assert_eq!(found, []);
            cursor = next;
        }
        let mut expected = Vec::new();
        if others {
            log.append(std::slice::from_ref(&second)).await.unwrap();
            expected.push(second);
        }
        if late {
            run(&mut slow, "COMMIT").await;
            expected.insert(0, first);
        }
        let (found, next) = drain(&log, &cursor).await.unwrap();
        assert_eq!(found, expected, "late: {late}, others: {others}");
        assert_eq!(drain(&log, &next).await.unwrap().0, []);
    }
}
