//! Tables whose changes invalidate.

use invalidation_core::{CacheKey, CacheName, Cursor, ErrorKind, InvalidationLog};
use invalidation_log_mysql::{Attach, MySqlLog};
use invalidation_testbed::Server;
use libtest_mimic::Trial;
use sqlx::MySqlConnection;

use crate::bed::{builder, connect, drain, on_own, on_shared, run, scene, url_as, words};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_shared!(p2_attached_tables_tell_every_change),
        on_shared!(what_has_no_sure_text_is_refused),
        on_shared!(what_is_attached_is_listed),
        on_shared!(what_triggers_do_not_see),
        on_own!(the_right_that_is_missing_is_named),
        on_shared!(p16_a_long_statement_holds_no_append_up),
    ]
}

/// A reader beside a client.
struct Scene {
    log: MySqlLog,
    client: MySqlConnection,
    cursor: Cursor,
}

impl Scene {
    async fn new(server: &Server) -> Self {
        let (log, url, cursor) = scene(server).await;
        let client = connect(&url).await;
        Self {
            log,
            client,
            cursor,
        }
    }

    /// What the statements made readers do.
    async fn told(&mut self, sql: &str) -> Vec<String> {
        run(&mut self.client, sql).await;
        let (found, next) = drain(&self.log, &self.cursor).await.unwrap();
        self.cursor = next;
        found.iter().map(words).collect()
    }
}

fn to(cache: &str) -> Attach {
    Attach::to(CacheName::new(cache).unwrap())
}

/// P2: insert, update and delete of an attached table invalidate the keys and tags of its old and its new rows, until it
/// is detached.
async fn p2_attached_tables_tell_every_change(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(
        &mut scene.client,
        "CREATE TABLE users (id INT(5) ZEROFILL, Org VARCHAR(20) CHARACTER SET latin1, name TEXT)",
    )
    .await;
    let rule = to("users").key("{id}").tag("org:{org}");
    assert!(scene.log.attach("users", &rule).await.unwrap());
    assert_eq!(
        scene.told("DO 1").await,
        ["clear users"],
        "what came before"
    );
    assert!(
        !scene.log.attach("users", &rule).await.unwrap(),
        "idempotent"
    );
    for (sql, expected) in [
        (
            "INSERT INTO users VALUES (1, 'ä', 'x'), (2, NULL, 'y')",
            vec!["users keys 1", "users tags org:ä", "users keys 2"],
        ),
        (
            "UPDATE users SET name = 'z' WHERE id = 2",
            vec!["users keys 2"],
        ),
        (
            "UPDATE users SET id = 3, org = 'b' WHERE id = 1",
            vec!["users keys 1 3", "users tags org:ä org:b"],
        ),
        (
            "UPDATE users SET org = 'B' WHERE id = 3",
            vec!["users keys 3", "users tags org:b org:B"],
        ),
        ("UPDATE users SET name = 'z' WHERE id = 99", vec![]),
        (
            "UPDATE users SET id = NULL WHERE id = 2",
            vec!["clear users"],
        ),
        ("BEGIN; DELETE FROM users; ROLLBACK", vec![]),
        (
            "DELETE FROM users WHERE id = 3",
            vec!["users keys 3", "users tags org:B"],
        ),
        ("DELETE FROM users", vec!["clear users"]),
    ] {
        assert_eq!(scene.told(sql).await, expected, "{sql}");
    }
    let pairs = to("pairs").key("{Org}:{id}");
    assert!(scene.log.attach("users", &pairs).await.unwrap());
    let told = scene
        .told("INSERT INTO users VALUES (5, 'a:\\\\b', '')")
        .await;
    let tuple = CacheKey::to_text(&("a:\\b".to_owned(), 5_i64)).into_owned();
    assert!(told.contains(&format!("pairs keys {tuple}")), "{told:?}");
    let whole = to("whole");
    assert!(scene.log.attach("users", &whole).await.unwrap());
    let told = scene.told("UPDATE users SET name = 'q'").await;
    assert!(told.contains(&"clear whole".to_owned()), "{told:?}");
    // Keys of texts that are equal by the column's collation are different keys.
    for cache in ["users", "pairs", "whole"] {
        let cache = CacheName::new(cache).unwrap();
        assert!(scene.log.detach("users", &cache).await.unwrap());
        assert!(!scene.log.detach("users", &cache).await.unwrap());
    }
    assert_eq!(scene.told("DELETE FROM users").await, [""; 0]);
}

/// Contract: a template that names no column, or one whose text depends on settings, is refused, and so is a table whose
/// changes are not rolled back.
async fn what_has_no_sure_text_is_refused(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(
        &mut scene.client,
        "CREATE TABLE t (id INT, moment TIMESTAMP, price DOUBLE, raw VARBINARY(9), d DECIMAL(9, 2));
         CREATE TABLE m (id INT) ENGINE = MyISAM; CREATE VIEW v AS SELECT * FROM t",
    )
    .await;
    for template in [
        "", "id", "{", "{id", "id}", "{moment}", "{price}", "{raw}", "{d}", "{nope}", "{{id}}",
    ] {
        let e = scene
            .log
            .attach("t", &to("c").key(template))
            .await
            .unwrap_err();
        assert_eq!(e.kind, ErrorKind::Invalid, "{template:?}: {e}");
    }
    for table in ["m", "v", "nope", "mysql.user", "cache_invalidation_log"] {
        let e = scene.log.attach(table, &to("c")).await.unwrap_err();
        assert_eq!(e.kind, ErrorKind::Invalid, "{table:?}: {e}");
    }
    assert_eq!(scene.told("INSERT INTO t (id) VALUES (1)").await, [""; 0]);
    assert_eq!(scene.log.attached().await.unwrap(), []);
}

/// Contract: what is attached is listed, whether its triggers are there, and odd names are names.
async fn what_is_attached_is_listed(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(
        &mut scene.client,
        "CREATE TABLE `It's a ``table``` (s INT, `o'r\\g` VARCHAR(9))",
    )
    .await;
    let table = "It's a `table`";
    let cache = CacheName::new("it's \\").unwrap();
    let rule = Attach::to(cache.clone()).key("{s}").tag(r"o'\:{o'r\g}");
    assert!(scene.log.attach(table, &rule).await.unwrap());
    assert!(!scene.log.attach(table, &rule).await.unwrap(), "idempotent");
    let told = scene
        .told("INSERT INTO `It's a ``table``` VALUES (1, 'x')")
        .await;
    assert_eq!(
        told,
        ["clear it's \\", "it's \\ keys 1", r"it's \ tags o'\:x"]
    );
    let listed = scene.log.attached().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].table.ends_with(".It's a `table`"), "{listed:?}");
    assert_eq!((&listed[0].attach, listed[0].active), (&rule, true));

    // A migration that makes the table anew.
    run(
        &mut scene.client,
        "DROP TABLE `It's a ``table```; CREATE TABLE `It's a ``table``` (s INT, `o'r\\g` VARCHAR(9))",
    )
    .await;
    assert!(!scene.log.attached().await.unwrap()[0].active);
    assert!(scene.log.attach(table, &rule).await.unwrap(), "made anew");
    let other = Attach::to(cache.clone()).key("{s}");
    assert!(scene.log.attach(table, &other).await.unwrap(), "replaced");
    let told = scene
        .told("DELETE FROM `It's a ``table```; INSERT INTO `It's a ``table``` VALUES (2, 'y')");
    assert_eq!(told.await.last().unwrap(), "it's \\ keys 2");
    assert_eq!(scene.log.attached().await.unwrap()[0].attach, other);
    run(&mut scene.client, "DROP TABLE `It's a ``table```").await;
    assert!(
        scene.log.detach(table, &cache).await.unwrap(),
        "of a table that is gone"
    );
    assert_eq!(scene.log.attached().await.unwrap(), []);
    let e = scene.log.detach(table, &cache).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Invalid, "{e}");
}

/// Contract: what the docs say that triggers do not see, they do not; should a server learn to, the docs are to be mended.
async fn what_triggers_do_not_see(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(
        &mut scene.client,
        "CREATE TABLE orgs (id INT PRIMARY KEY);
         CREATE TABLE users (id INT PRIMARY KEY, org INT, FOREIGN KEY (org) REFERENCES orgs (id) ON DELETE CASCADE);
         INSERT INTO orgs VALUES (1); INSERT INTO users VALUES (1, 1), (2, NULL)",
    )
    .await;
    scene
        .log
        .attach("users", &to("users").key("{id}"))
        .await
        .unwrap();
    assert_eq!(scene.told("DO 1").await, ["clear users"]);
    let cascade = scene.told("DELETE FROM orgs").await;
    assert_eq!(cascade, [""; 0], "a cascade is seen");
    let truncate = scene.told("TRUNCATE users").await;
    assert_eq!(truncate, [""; 0], "TRUNCATE is seen");
    // What evicts a row is seen.
    run(&mut scene.client, "INSERT INTO users VALUES (1, NULL)").await;
    let told = scene.told("REPLACE INTO users VALUES (1, NULL)").await;
    assert!(
        told.len() >= 2 && told.iter().all(|told| told == "users keys 1"),
        "{told:?}"
    );
}

/// Contract: who lacks a right for triggers is told which.
async fn the_right_that_is_missing_is_named(server: &Server) {
    let (_, url, _) = scene(server).await;
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let mut admin = connect(&url).await;
    run(
        &mut admin,
        &format!(
            "CREATE TABLE t (id INT); CREATE USER maker@'%';
             GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO maker@'%'"
        ),
    )
    .await;
    let log = builder(&url_as("maker", server.address(), database))
        .connect()
        .await
        .unwrap();
    let rule = to("c").key("{id}");
    let e = log.attach("t", &rule).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    run(
        &mut admin,
        &format!("GRANT TRIGGER ON {database}.* TO maker@'%'"),
    )
    .await;
    let e = log.attach("t", &rule).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Denied, "{e}");
    assert!(e.message.contains("log_bin_trust_function_creators"), "{e}");
    run(&mut admin, "SET GLOBAL log_bin_trust_function_creators = 1").await;
    assert!(log.attach("t", &rule).await.unwrap());
    assert!(log.attached().await.unwrap()[0].active);
}

/// P16: a statement that changes rows of an attached table for long keeps nobody from appending meanwhile.
async fn p16_a_long_statement_holds_no_append_up(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(
        &mut scene.client,
        "CREATE TABLE t (id INT); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    scene.log.attach("t", &to("c").key("{id}")).await.unwrap();
    // Holds on behind the first row's trigger, until another client lets it go.
    let mut lock = crate::bed::connect_beside(&mut scene.client).await;
    run(&mut lock, "DO GET_LOCK('long', 0)").await;
    let mut client = scene.client;
    let long = tokio::spawn(async move {
        run(
            &mut client,
            "UPDATE t SET id = id + 10 WHERE id = 1 OR GET_LOCK('long', 60) = 1",
        )
        .await;
    });
    crate::bed::eventually!("the statement waits", {
        let waiting =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'User lock%'";
        (crate::bed::value::<i64>(&mut lock, waiting).await >= 1).then_some(())
    });
    let own = crate::bed::key("1");
    scene.log.append(std::slice::from_ref(&own)).await.unwrap();
    let (found, _) = drain(&scene.log, &scene.cursor).await.unwrap();
    assert!(found.contains(&own), "{found:?}");
    assert!(!long.is_finished());
    run(&mut lock, "DO RELEASE_LOCK('long')").await;
    long.await.unwrap();
}
