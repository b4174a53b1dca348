//! Making the log's tables, and finding what others made.

use invalidation_core::{ErrorKind, InvalidationLog, ReadRequest};
use invalidation_log_mysql::MySqlLog;
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{
    builder, connect, database, drain, key, on_own, on_shared, run, scene, start, url, url_as,
    value,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_shared!(another_version_is_refused),
        on_own!(a_user_without_the_right_to_make_tables),
        on_shared!(many_install_at_once),
        on_shared!(an_installation_that_was_cut_short_is_finished),
        on_shared!(one_database_is_one_log),
        on_shared!(before_install_it_says_so),
        on_own!(a_server_of_several_primaries_is_refused),
        on_own!(a_binary_log_of_statements_is_refused),
    ]
}

/// P10: tables of another version are neither read nor changed.
async fn another_version_is_refused(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut admin = connect(&url).await;
    run(&mut admin, "UPDATE cache_invalidation_meta SET version = 2").await;
    let request = ReadRequest::new(&head, start(1));
    for (call, e) in [
        ("install", log.install().await.unwrap_err()),
        ("head", log.head().await.unwrap_err()),
        ("read", log.read(request).await.unwrap_err()),
        (
            "purge",
            log.purge(std::time::Duration::ZERO).await.unwrap_err(),
        ),
    ] {
        assert_eq!(e.kind, ErrorKind::Incompatible, "{call}: {e}");
        assert!(e.message.contains("version 2"), "{call}: {e}");
    }
}

/// Contract: who may not make tables is told what to run; after an administrator ran what the log gives, a user with
/// those rights alone installs, appends, reads, purges and settles what a restart left.
async fn a_user_without_the_right_to_make_tables(server: &Server) {
    let database = database(server).await;
    let mut admin = connect(&url(server.address(), &database)).await;
    run(
        &mut admin,
        &format!("CREATE USER modest@'%'; GRANT SHOW VIEW ON {database}.* TO modest@'%'"),
    )
    .await;
    let log = builder(&url_as("modest", server.address(), &database))
        .connect()
        .await
        .unwrap();
    let e = log.install().await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    assert!(e.message.contains("install_sql"), "{e}");

    let sql = MySqlLog::install_sql(&database).unwrap();
    run(&mut admin, &sql).await;
    let e = log.install().await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    assert!(e.message.contains("grant_sql"), "{e}");

    let sql = MySqlLog::grant_sql(&database, "modest", "%").unwrap();
    run(&mut admin, &sql).await;
    log.install().await.unwrap();
    let head = log.head().await.unwrap();
    let entries = [key("1"), key("2")];
    log.append(&entries).await.unwrap();
    assert_eq!(drain(&log, &head).await.unwrap().0, entries);
    let purged = log.purge(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(purged.entries, 1);
    let mut client = connect(&url_as("modest", server.address(), &database)).await;
    run(&mut client, "CALL cache_invalidation_clear('users')").await;

    // Tables alone, without the right to make procedures.
    run(
        &mut admin,
        &format!(
            "DROP DATABASE {database}; CREATE DATABASE {database};
             GRANT CREATE, INDEX, SELECT, INSERT, UPDATE, DELETE ON {database}.* TO modest@'%'"
        ),
    )
    .await;
    // Rights on a database are those of new connections.
    let log = builder(&url_as("modest", server.address(), &database))
        .connect()
        .await
        .unwrap();
    log.install().await.unwrap();
    let head = log.head().await.unwrap();
    log.append(&entries).await.unwrap();
    assert_eq!(drain(&log, &head).await.unwrap().0, entries);
}

/// Contract: any number of processes install one log at once, and share it.
async fn many_install_at_once(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let starts: Vec<_> = (0..12)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let log = builder(&url).connect().await.unwrap();
                log.install().await.unwrap();
                log
            })
        })
        .collect();
    let mut logs = Vec::new();
    for start in starts {
        logs.push(start.await.unwrap());
    }
    let identities: Vec<_> = logs.iter().map(InvalidationLog::identity).collect();
    assert!(identities[0].is_some());
    assert!(identities.iter().all(|other| *other == identities[0]));
}

/// Contract: what a process left half made is finished by the next.
async fn an_installation_that_was_cut_short_is_finished(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let mut admin = connect(&url).await;
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let sql = MySqlLog::install_sql(database).unwrap();
    let statements: Vec<_> = sql.split_inclusive(";\n").collect();
    for count in 1..statements.len() {
        run(
            &mut admin,
            &format!("DROP DATABASE {database}; CREATE DATABASE {database}; USE {database}"),
        )
        .await;
        for statement in &statements[..count] {
            run(&mut admin, statement).await;
        }
        let log = builder(&url).connect().await.unwrap();
        log.install().await.unwrap();
        let head = log.head().await.unwrap();
        log.append(&[key("1")]).await.unwrap();
        assert_eq!(drain(&log, &head).await.unwrap().0.len(), 1, "{count}");
        run(&mut admin, "CALL cache_invalidation_everything()").await;
    }
}

/// Contract: each database has a log of its own, also one that the connection does not begin in; a name that would need
/// care is refused.
async fn one_database_is_one_log(server: &Server) {
    let first = url(server.address(), &database(server).await);
    let mut admin = connect(&first).await;
    run(
        &mut admin,
        "CREATE DATABASE `a-b`; CREATE DATABASE `select`",
    )
    .await;
    let mut logs = Vec::new();
    for name in [None, Some("a-b"), Some("select")] {
        let log = match name {
            None => builder(&first),
            Some(name) => builder(&first).database(name),
        };
        let log = log.connect().await.unwrap();
        log.install().await.unwrap();
        let head = log.head().await.unwrap();
        logs.push((log, head, key(name.unwrap_or("first"))));
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
    for name in ["", "a`b", "a'b", "ä", "a.b", &"x".repeat(65)] {
        let refused = MySqlLog::builder(&first).database(name).connect_later();
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid, "{name:?}");
    }
    for url in [
        "postgres://root@localhost/x",
        "mysql://localhost",
        "mysql://localhost/x?ssl-mode=sometimes",
        "x",
    ] {
        let refused = MySqlLog::builder(url).connect_later();
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid, "{url:?}");
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
    let nowhere = url.replace("/trial_", "/nowhere_");
    let e = builder(&nowhere).connect().await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Unavailable, "{e}");
    assert!(e.message.contains("create the database"), "{e}");
}

/// Contract: a server that is one of several primaries is refused, since a lock on one is none on the others.
async fn a_server_of_several_primaries_is_refused(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let mut admin = connect(&url).await;
    let refused = sqlx::raw_sql("SET GLOBAL wsrep_on = ON")
        .execute(&mut admin)
        .await;
    // Without a provider it stays off.
    if refused.is_err()
        || value::<String>(&mut admin, "SELECT IF(@@global.wsrep_on, 'on', 'off')").await != "on"
    {
        return;
    }
    let e = builder(&url).connect().await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Incompatible, "{e}");
}

/// Contract: a server that logs statements is told apart from a broken one, since it lets nobody stamp.
async fn a_binary_log_of_statements_is_refused(server: &Server) {
    let (log, url, head) = scene(server).await;
    let mut admin = connect(&url).await;
    run(&mut admin, "SET GLOBAL binlog_format = 'STATEMENT'").await;
    log.append(&[key("1")]).await.unwrap();
    let log = builder(&url).connect().await.unwrap();
    let e = log
        .read(ReadRequest::new(&head, start(1)))
        .await
        .unwrap_err();
    assert_eq!(e.kind, ErrorKind::Incompatible, "{e}");
    assert!(e.message.contains("binlog_format"), "{e}");
}
