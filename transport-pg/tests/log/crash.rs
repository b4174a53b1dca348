//! A back end that is killed: the server recovers, and uses xids again that it had shown in snapshots.

use invalidation_core::{GapReason, InvalidationLog};
use invalidation_testbed::Server;
use libtest_mimic::Trial;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use crate::bed::{self, connect, database, drain, eventually, installed, key, run, url, value};

pub(crate) fn trials() -> Vec<Trial> {
    vec![bed::trial(
        "P1_P10_a_row_of_an_xid_that_is_used_again_is_not_lost",
        bed::own,
        |server| async move { a_row_of_an_xid_that_is_used_again_is_not_lost(&server).await },
    )]
}

/// What else could tell a reader that the past has changed.
const REST_OF_IDENTITY: &str = "SELECT concat_ws('/',
    (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
    extract(epoch FROM pg_postmaster_start_time()),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    'cache_invalidation.log'::regclass::oid)";

/// P1, P10: the reader is told. That only the epoch does so is shown by writing the old one back: the row is then lost.
async fn a_row_of_an_xid_that_is_used_again_is_not_lost(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let mut client = connect(&url).await;
    // Else aborts are flushed by chance, and so remembered.
    run(&mut client, "ALTER SYSTEM SET wal_writer_delay = '10s'").await;
    run(&mut client, "ALTER SYSTEM SET autovacuum = off").await;
    run(&mut client, "SELECT pg_reload_conf()").await;
    log.append(&[key("before")]).await.unwrap();
    let identity = value(&mut client, REST_OF_IDENTITY).await;
    let epoch = value(
        &mut client,
        "SELECT epoch::text FROM cache_invalidation.epoch",
    )
    .await;
    for _ in 0..50 {
        run(&mut client, "BEGIN; SELECT pg_current_xact_id(); ROLLBACK").await;
    }
    let cursor = log.head().await.unwrap();
    let shown = xid(
        &mut client,
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text",
    )
    .await;

    let victim: u32 = value(&mut client, "SELECT pg_backend_pid()::text")
        .await
        .parse()
        .unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", &victim.to_string()])
        .status();
    assert!(killed.unwrap().success());
    let options: PgConnectOptions = url.parse().unwrap();
    // The postmaster goes on accepting until it has noticed.
    let mut client = eventually!("the server has recovered", {
        match options.connect().await {
            Ok(mut client) => {
                let recovered = sqlx::raw_sql(
                    "SELECT 1 WHERE NOT EXISTS (SELECT FROM cache_invalidation.epoch)",
                )
                .fetch_all(&mut client)
                .await;
                matches!(recovered, Ok(rows) if rows.len() == 1).then_some(client)
            }
            Err(_) => None,
        }
    });

    // What a business transaction appends by itself, before any node looks.
    let append = "INSERT INTO cache_invalidation.log (nonce, cache, scope, items)
                  VALUES (1, 'users', 'keys', '[\"after\"]') RETURNING xid::text";
    let used_again = xid(&mut client, append).await;
    assert!(
        used_again < shown,
        "the scene is not set: {used_again} is not below {shown}, which a snapshot had shown"
    );
    assert_eq!(
        value(&mut client, REST_OF_IDENTITY).await,
        identity,
        "the scene is not set: all else of the identity stays"
    );

    let old = format!("INSERT INTO cache_invalidation.epoch (epoch) VALUES ('{epoch}')");
    run(&mut client, &old).await;
    let (found, _) = drain(&log, &cursor).await.expect("nothing tells it");
    assert!(
        found.is_empty(),
        "without the epoch the row is lost, which is why it is there: {found:?}"
    );
    run(&mut client, "DELETE FROM cache_invalidation.epoch").await;
    assert_eq!(
        drain(&log, &cursor).await.unwrap_err(),
        GapReason::IdentityChanged
    );
    let head = log.head().await.unwrap();
    // The connection that appends has yet to notice that its server process is gone.
    eventually!("it appends", log.append(&[key("next")]).await.ok());
    assert_eq!(drain(&log, &head).await.unwrap().0.len(), 1, "it goes on");
}

async fn xid(client: &mut sqlx::PgConnection, sql: &str) -> u64 {
    value(client, sql).await.parse().unwrap()
}
