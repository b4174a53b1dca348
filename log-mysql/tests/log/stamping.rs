//! Giving rows their numbers, and reading what cannot be given one.

use invalidation_core::{
    Completeness, ErrorKind, InvalidationLog, JoinsLog, Page, ReadRequest, Retry,
};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{
    builder, connect, drain, entry, installed, key, on_shared, run, scene, start, url_as, value,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_shared!(p1_p4_rows_are_read_while_nobody_can_stamp),
        on_shared!(p16_a_locked_row_holds_no_other_up),
        on_shared!(p16_reading_holds_no_writer_up),
        on_shared!(p16_stamping_looks_at_no_open_row),
        on_shared!(p16_a_rollback_to_a_savepoint_holds_nobody_up),
        on_shared!(p1_numbers_follow_commits),
        on_shared!(who_may_only_read_reads),
        on_shared!(too_many_rows_without_a_number_are_told),
        on_shared!(p1_a_large_transaction_is_read_in_pages),
    ]
}

/// P1, P4: while another client holds the counter, reads do not wait, are complete, and return each row once, before and
/// after it has a number.
async fn p1_p4_rows_are_read_while_nobody_can_stamp(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut lock = connect(&url).await;
    run(
        &mut lock,
        "BEGIN; SELECT * FROM cache_invalidation_meta FOR UPDATE",
    )
    .await;
    let first = [key("1"), key("2")];
    log.append(&first).await.unwrap();
    let request = ReadRequest::new(&head, start(7));
    let Ok(Page::Entries {
        entries,
        next,
        complete,
    }) = log.read(request).await
    else {
        panic!("it reads beside the lock")
    };
    let found: Vec<_> = entries.into_iter().map(entry).collect();
    assert_eq!(found, first);
    assert_eq!(complete, Completeness::AsOf(start(7)), "P4");
    let (found, next) = drain(&log, &next).await.unwrap();
    assert_eq!(found, [], "none comes twice");
    // A node that starts now is behind them.
    let cold = log.head().await.unwrap();
    let later = key("3");
    log.append(std::slice::from_ref(&later)).await.unwrap();
    let (found, next) = drain(&log, &next).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&later));

    run(&mut lock, "ROLLBACK").await;
    let last = key("4");
    log.append(std::slice::from_ref(&last)).await.unwrap();
    let (found, next) = drain(&log, &next).await.unwrap();
    assert_eq!(
        found,
        std::slice::from_ref(&last),
        "and none of the others again"
    );
    assert_eq!(drain(&log, &next).await.unwrap().0, []);
    assert_eq!(drain(&log, &cold).await.unwrap().0, [later, last.clone()]);
    let (found, _) = drain(&installed(&url).await, &head).await.unwrap();
    assert_eq!(found.len(), 4, "another reader finds all of them, stamped");
    let waiting = "SELECT COUNT(*) FROM cache_invalidation_log WHERE seq = 0 AND id > 0";
    assert_eq!(value::<i64>(&mut lock, waiting).await, 0);
}

/// P16: a row that somebody has locked by hand is read all the same, and the others get their numbers.
async fn p16_a_locked_row_holds_no_other_up(server: &Server) {
    let (log, url, head) = scene(server).await;
    let entries = [key("1"), key("2"), key("3")];
    log.append(&entries).await.unwrap();
    let mut lock = connect(&url).await;
    run(
        &mut lock,
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
         BEGIN; SELECT id INTO @id FROM cache_invalidation_log WHERE items = '[\"2\"]';
         SELECT * FROM cache_invalidation_log WHERE id = @id FOR UPDATE",
    )
    .await;
    let (found, cursor) = drain(&log, &head).await.unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    let mut admin = connect(&url).await;
    let stamped = "SELECT COUNT(*) FROM cache_invalidation_log WHERE seq > 0";
    assert_eq!(value::<i64>(&mut admin, stamped).await, 2);
    run(&mut lock, "ROLLBACK").await;
    assert_eq!(drain(&log, &cursor).await.unwrap().0, []);
    assert_eq!(value::<i64>(&mut admin, stamped).await, 3);
}

/// P16: reads and stamps beside it, a transaction that has appended goes on appending, at the servers' default level of
/// isolation, and so do others.
async fn p16_reading_holds_no_writer_up(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut open = connect(&url).await;
    let mut other = connect(&url).await;
    for client in [&mut open, &mut other] {
        run(client, "SET SESSION innodb_lock_wait_timeout = 1").await;
    }
    run(&mut open, "BEGIN").await;
    let mut cursor = head;
    let mut seen = 0;
    for round in 0..20 {
        let name = round.to_string();
        open.append_in(&log, &[key(&name)]).await.unwrap();
        other.append_in(&log, &[key(&name)]).await.unwrap();
        let (found, next) = drain(&log, &cursor).await.unwrap();
        seen += found.len();
        cursor = next;
    }
    assert_eq!(seen, 20, "those of the other");
    run(&mut open, "COMMIT").await;
    assert_eq!(drain(&log, &cursor).await.unwrap().0.len(), 20);
}

/// P16: stamping looks at no row of an open transaction: its lock would be left, once that transaction goes back to a
/// savepoint, at the place where another connection of the same slot inserts.
async fn p16_stamping_looks_at_no_open_row(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut open = connect(&url).await;
    run(&mut open, "CREATE TABLE t (id INT)").await;
    let slot = "SELECT CAST(CONNECTION_ID() % 256 AS SIGNED)";
    let own: i64 = value(&mut open, slot).await;
    let mut other = loop {
        let mut other = connect(&url).await;
        if value::<i64>(&mut other, slot).await == own {
            break other;
        }
    };
    run(&mut other, "SET SESSION innodb_lock_wait_timeout = 1").await;
    open.append_in(&log, &[key("1"), key("2")]).await.unwrap();
    run(&mut open, "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT here").await;
    open.append_in(&log, &[key("undone")]).await.unwrap();
    let (found, cursor) = drain(&log, &head).await.unwrap();
    assert_eq!(found.len(), 2);
    run(&mut open, "ROLLBACK TO here").await;
    let entry = key("3");
    other
        .append_in(&log, std::slice::from_ref(&entry))
        .await
        .unwrap();
    run(&mut open, "COMMIT").await;
    assert_eq!(drain(&log, &cursor).await.unwrap().0, [entry]);
}

/// P16: where anybody has looked at an open transaction's row with a lock, and it goes back to a savepoint, connections of
/// other slots append all the same.
async fn p16_a_rollback_to_a_savepoint_holds_nobody_up(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut open = connect(&url).await;
    run(&mut open, "CREATE TABLE t (id INT)").await;
    run(&mut open, "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT here").await;
    open.append_in(&log, &[key("undone")]).await.unwrap();
    let mut other = connect(&url).await;
    run(
        &mut other,
        "SET SESSION innodb_lock_wait_timeout = 1; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
         BEGIN; SELECT id FROM cache_invalidation_log FOR UPDATE SKIP LOCKED; ROLLBACK",
    )
    .await;
    run(&mut open, "ROLLBACK TO here").await;
    let entry = key("1");
    other
        .append_in(&log, std::slice::from_ref(&entry))
        .await
        .unwrap();
    run(&mut open, "COMMIT").await;
    assert_eq!(drain(&log, &head).await.unwrap().0, [entry]);
}

/// P1: numbers are dense, and given after the commit: a row with a lower id that commits later has a higher number.
async fn p1_numbers_follow_commits(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut slow = connect(&url).await;
    run(&mut slow, "BEGIN").await;
    slow.append_in(&log, &[key("slow")]).await.unwrap();
    log.append(&[key("quick")]).await.unwrap();
    let (_, cursor) = drain(&log, &head).await.unwrap();
    run(&mut slow, "COMMIT").await;
    drain(&log, &cursor).await.unwrap();
    let order = "SELECT GROUP_CONCAT(CONCAT(seq, items) ORDER BY id) FROM cache_invalidation_log WHERE id > 0";
    let found: String = value(&mut slow, order).await;
    assert_eq!(found, "2[\"slow\"],1[\"quick\"]");
    let counter = "SELECT counter FROM cache_invalidation_meta";
    assert_eq!(value::<i64>(&mut slow, counter).await, 2);
}

/// Contract: a node whose user may only read the tables reads, whether others stamp or not, and is told what it may not.
async fn who_may_only_read_reads(server: &Server) {
    let (log, url, _) = scene(server).await;
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let mut admin = connect(&url).await;
    run(&mut admin, "CREATE USER IF NOT EXISTS onlooker@'%'").await;
    for table in ["log", "meta"] {
        run(
            &mut admin,
            &format!("GRANT SELECT ON cache_invalidation_{table} TO onlooker@'%'"),
        )
        .await;
    }
    let url = url_as("onlooker", server.address(), database);
    let onlooker = builder(&url).connect().await.unwrap();
    onlooker.install().await.unwrap();
    log.append(&[key("before")]).await.unwrap();
    let head = onlooker.head().await.unwrap();
    let first = key("1");
    log.append(std::slice::from_ref(&first)).await.unwrap();
    let (found, cursor) = drain(&onlooker, &head).await.unwrap();
    assert_eq!(found, [first]);
    log.head().await.unwrap();
    let second = key("2");
    log.append(std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(drain(&onlooker, &cursor).await.unwrap().0, [second]);
    let e = onlooker.append(&[key("3")]).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    assert!(e.message.contains("grant_sql"), "{e}");
}

/// P4: rows that nobody stamps are read up to a bound, and then a read says what is wrong instead of being complete.
async fn too_many_rows_without_a_number_are_told(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut lock = connect(&url).await;
    run(
        &mut lock,
        "BEGIN; SELECT * FROM cache_invalidation_meta FOR UPDATE",
    )
    .await;
    let entries: Vec<_> = (0..5_000).map(|n| key(&n.to_string())).collect();
    log.append(&entries).await.unwrap();
    let mut cursor = head.clone();
    let (mut found, mut told) = (Vec::new(), None);
    for number in 1..20 {
        match log.read(ReadRequest::new(&cursor, start(number))).await {
            Ok(Page::Entries {
                entries,
                next,
                complete,
            }) => {
                assert_eq!(complete, Completeness::Partial, "P4");
                found.extend(entries.into_iter().map(entry));
                cursor = next;
            }
            Ok(other) => panic!("{other:?}"),
            Err(e) => {
                told = Some(e);
                break;
            }
        }
    }
    let e = told.expect("it is told");
    assert_eq!(
        (e.kind, e.retry),
        (ErrorKind::Unavailable, Retry::Temporary)
    );
    assert!(e.message.contains("wait for a number"), "{e}");
    run(&mut lock, "ROLLBACK").await;
    found.extend(drain(&log, &cursor).await.unwrap().0);
    assert_eq!(found, entries, "nothing is lost, and none comes twice");
    assert_eq!(drain(&log, &head).await.unwrap().0, entries);
}

/// P1: a transaction of more rows than a page holds, and than are stamped at once, is read whole, in its order.
async fn p1_a_large_transaction_is_read_in_pages(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut client = connect(&url).await;
    run(&mut client, "BEGIN").await;
    let entries: Vec<_> = (0..3_500).map(|n| key(&n.to_string())).collect();
    client.append_in(&log, &entries).await.unwrap();
    assert_eq!(drain(&log, &head).await.unwrap().0, []);
    run(&mut client, "COMMIT").await;
    // Also by who takes more at once than is stamped at once.
    let mut request = ReadRequest::new(&head, start(1));
    request.max_entries = 10_000;
    let Ok(Page::Entries {
        entries: first,
        complete,
        ..
    }) = log.read(request).await
    else {
        panic!("it is read")
    };
    assert!(first.len() < entries.len(), "{}", first.len());
    assert_eq!(complete, Completeness::Partial, "P4: there is more");
    assert_eq!(drain(&log, &head).await.unwrap().0, entries);
}
