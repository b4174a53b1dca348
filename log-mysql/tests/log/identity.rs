//! Pasts that changed.

use invalidation_core::{Error, ErrorKind, GapReason, InvalidationLog, ReadRequest};
use invalidation_testbed::{Backend, Server};
use libtest_mimic::Trial;

use crate::bed::{connect, drain, eventually, key, on_own, on_shared, run, scene, start};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_own!(p10_a_crash_is_told),
        on_own!(p10_another_server_is_told),
        on_own!(a_read_only_server_is_refused),
        on_shared!(p10_a_restored_dump_is_told),
        on_shared!(p10_rows_deleted_by_hand_are_told),
    ]
}

/// P1, P10: a server that was killed keeps what it acknowledged; a reader is told, since it may have kept less, and goes
/// on.
async fn p10_a_crash_is_told(server: &Server) {
    let (log, _, head) = scene(server).await;
    let entries = [key("1"), key("2")];
    log.append(&entries).await.unwrap();
    let (found, cursor) = drain(&log, &head).await.unwrap();
    assert_eq!(found, entries);
    // A server that is started again within the second that it was started in cannot be told by that.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    server.kill().unwrap();
    server.restart().unwrap();
    let reason = drain(&log, &cursor).await.unwrap_err();
    assert_eq!(reason, GapReason::IdentityChanged);
    let after = eventually!("the head is read", log.head().await.ok());
    let next = key("3");
    eventually!(
        "it appends",
        log.append(std::slice::from_ref(&next)).await.ok()
    );
    assert_eq!(drain(&log, &after).await.unwrap().0, [next]);
}

/// P2, P10: where another server answers at the address, as after a failover, readers are told, the log appends there
/// without a detour, and positions are those of the new life.
async fn p10_another_server_is_told(server: &Server) {
    let (log, url, head) = scene(server).await;
    log.append(&[key("1")]).await.unwrap();
    let (_, cursor) = drain(&log, &head).await.unwrap();
    let mut admin = connect(&url).await;
    // As a replica of it has.
    run(&mut admin, "SET GLOBAL server_id = 77").await;
    let statement = log.statement(&[key("by hand")]).unwrap();
    let inserted = sqlx::query(sqlx::AssertSqlSafe(statement.sql))
        .bind(statement.parameter)
        .execute(&mut admin)
        .await
        .unwrap();
    assert_eq!(
        inserted.rows_affected(),
        0,
        "P2: the statement inserts nothing on another server"
    );
    let before = log.identity();
    log.append(&[key("2")]).await.unwrap();
    let reason = drain(&log, &cursor).await.unwrap_err();
    assert_eq!(reason, GapReason::IdentityChanged);
    assert_ne!(log.identity(), before);
}

/// Contract: a read-only server is refused, for reads too: it is most likely a replica, and lags.
async fn a_read_only_server_is_refused(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut admin = connect(&url).await;
    run(&mut admin, "SET GLOBAL read_only = 1").await;
    let read = log.read(ReadRequest::new(&head, start(1))).await;
    let refused: [(&str, Error); 3] = [
        ("read", read.unwrap_err()),
        ("head", log.head().await.unwrap_err()),
        (
            "purge",
            log.purge(std::time::Duration::ZERO).await.unwrap_err(),
        ),
    ];
    for (call, e) in refused {
        assert_eq!(e.kind, ErrorKind::ReadOnly, "{call}: {e}");
        assert!(e.message.contains("connect to the primary"), "{call}: {e}");
    }
    run(&mut admin, "SET GLOBAL read_only = 0").await;
    assert_eq!(drain(&log, &head).await.unwrap().0, []);
}

/// P10: a dump that is restored over the log is told to a reader too that had read nothing since the dump was made.
async fn p10_a_restored_dump_is_told(server: &Server) {
    let (log, url, _) = scene(server).await;
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    log.append(&[key("1")]).await.unwrap();
    let cursor = log.head().await.unwrap();
    let port = server.address().port().to_string();
    let client = |program: &str, arguments: &[&str], input: std::process::Stdio| {
        let output = std::process::Command::new(Backend::Mariadb.program(program).unwrap())
            .args(["--no-defaults", "-h127.0.0.1", "-uroot", "-P", &port])
            .args(arguments)
            .stdin(input)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let file = server.folder().join("dump.sql");
    let result = format!("--result-file={}", file.display());
    client(
        "mariadb-dump",
        &[&result, database],
        std::process::Stdio::null(),
    );
    // Tables are told by the second they were made in.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    client(
        "mariadb",
        &[database],
        std::fs::File::open(&file).unwrap().into(),
    );
    let reason = drain(&log, &cursor).await.unwrap_err();
    assert_eq!(reason, GapReason::IdentityChanged);
    let head = log.head().await.unwrap();
    let next = key("2");
    log.append(std::slice::from_ref(&next)).await.unwrap();
    assert_eq!(drain(&log, &head).await.unwrap().0, [next]);
}

/// P1, P10: a row that was deleted by hand is told to whoever had not read it, wherever it stood.
async fn p10_rows_deleted_by_hand_are_told(server: &Server) {
    for (seq, reason) in [
        (1, GapReason::EntriesLost),
        (2, GapReason::EntriesLost),
        (3, GapReason::EntriesLost),
    ] {
        let (log, url, head) = scene(server).await;
        log.append(&[key("1"), key("2"), key("3")]).await.unwrap();
        let ahead = log.head().await.unwrap();
        let mut admin = connect(&url).await;
        let delete = format!("DELETE FROM cache_invalidation_log WHERE seq = {seq}");
        run(&mut admin, &delete).await;
        assert_eq!(drain(&log, &head).await.unwrap_err(), reason, "{seq}");
        let ahead = drain(&log, &ahead).await;
        match seq {
            3 => assert_eq!(ahead.unwrap_err(), GapReason::WitnessLost),
            _ => assert_eq!(ahead.unwrap().0, []),
        }
    }
}
