//! Making the log's tables, and finding what others made.

use invalidation_core::{ErrorKind, InvalidationLog};
use invalidation_testbed::Server;
use invalidation_transport_pg::PgLog;
use libtest_mimic::Trial;

use crate::bed::{self, builder, connect, database, drain, installed, key, run, url, url_as};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial("another_version_is_refused", bed::shared, |server| async {
            another_version_is_refused(server).await;
        }),
        bed::trial(
            "a_user_without_the_right_to_make_tables",
            bed::shared,
            |server| async {
                a_user_without_the_right_to_make_tables(server).await;
            },
        ),
        bed::trial("one_schema_is_one_log", bed::shared, |server| async {
            one_schema_is_one_log(server).await;
        }),
        bed::trial("before_install_it_says_so", bed::shared, |server| async {
            before_install_it_says_so(server).await;
        }),
    ]
}

/// P10: tables of another version are neither read nor changed.
async fn another_version_is_refused(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let head = log.head().await.unwrap();
    let mut admin = connect(&url).await;
    run(&mut admin, "UPDATE cache_invalidation.meta SET version = 2").await;
    let request = invalidation_core::ReadRequest::new(&head, bed::start(1));
    for (call, e) in [
        ("install", log.install().await.unwrap_err()),
        ("head", log.head().await.unwrap_err()),
        ("read", log.read(request).await.unwrap_err()),
    ] {
        assert_eq!(e.kind, ErrorKind::Incompatible, "{call}: {e}");
        assert!(e.message.contains("version 2"), "{call}: {e}");
    }
}

/// Contract: who may not make tables is told what to run; after an administrator ran what the log gives, a user with
/// those rights alone installs, appends, reads and purges.
async fn a_user_without_the_right_to_make_tables(server: &Server) {
    let database = database(server).await;
    let mut admin = connect(&url(server.address(), &database)).await;
    run(&mut admin, "CREATE ROLE modest LOGIN").await;
    let log = builder(&url_as("modest", server.address(), &database))
        .connect()
        .await
        .unwrap();
    let e = log.install().await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    assert!(e.message.contains("GRANT CREATE ON DATABASE"), "{e}");

    let sql = PgLog::install_sql("cache_invalidation").unwrap();
    run(&mut admin, &sql).await;
    let e = log.install().await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    assert!(e.message.contains("grant_sql"), "{e}");

    let sql = PgLog::grant_sql("cache_invalidation", "modest").unwrap();
    run(&mut admin, &sql).await;
    // As after a crash: a node of this user has to write the new epoch.
    run(&mut admin, "DELETE FROM cache_invalidation.epoch").await;
    log.install().await.unwrap();
    let head = log.head().await.unwrap();
    let entries = [key("1"), key("2")];
    log.append(&entries).await.unwrap();
    assert_eq!(drain(&log, &head).await.unwrap().0, entries);
    let purged = log.purge(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(purged.entries, 1);
}

/// Contract: two schemas of one database are two logs; a name that would need care is refused.
async fn one_schema_is_one_log(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let mut logs = Vec::new();
    for schema in ["a-b", "Select", "cache_invalidation"] {
        let log = builder(&url).schema(schema).connect().await.unwrap();
        log.install().await.unwrap();
        let head = log.head().await.unwrap();
        logs.push((log, head, key(schema)));
    }
    for (log, _, entry) in &logs {
        log.append(std::slice::from_ref(entry)).await.unwrap();
    }
    for (log, head, entry) in &logs {
        assert_eq!(
            drain(log, head).await.unwrap().0,
            std::slice::from_ref(entry)
        );
    }
    for schema in ["", "a\"b", "a'b", "pg_log", "ä", "a.b", &"x".repeat(64)] {
        let refused = PgLog::builder(&url).schema(schema).connect_later();
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid, "{schema:?}");
    }
}

/// Contract: a database without a log is told as such.
async fn before_install_it_says_so(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = builder(&url).connect().await.unwrap();
    for e in [
        log.head().await.unwrap_err(),
        log.append(&[key("1")]).await.unwrap_err(),
    ] {
        assert_eq!(e.kind, ErrorKind::Unavailable, "{e}");
        assert!(e.message.contains("run install"), "{e}");
    }
}
