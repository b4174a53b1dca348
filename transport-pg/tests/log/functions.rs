//! Invalidations from any language: functions and triggers.

use invalidation_core::{CacheName, Entry, ErrorKind, Invalidation, InvalidationLog, Scope};
use invalidation_testbed::Server;
use invalidation_transport_pg::{Attach, PgLog};
use libtest_mimic::Trial;
use sqlx::PgConnection;

use crate::bed::{self, connect, database, drain, installed, run, url, url_as};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial(
            "P2_functions_append_in_any_transaction",
            bed::shared,
            |server| async {
                functions_append_in_any_transaction(server).await;
            },
        ),
        bed::trial(
            "functions_are_not_for_everybody",
            bed::shared,
            |server| async {
                functions_are_not_for_everybody(server).await;
            },
        ),
        bed::trial(
            "P2_attached_tables_tell_every_change",
            bed::shared,
            |server| async {
                attached_tables_tell_every_change(server).await;
            },
        ),
        bed::trial(
            "what_has_no_sure_text_is_refused",
            bed::shared,
            |server| async {
                what_has_no_sure_text_is_refused(server).await;
            },
        ),
        bed::trial("P11_bulk_changes_clear", bed::shared, |server| async {
            bulk_changes_clear(server).await;
        }),
        bed::trial("what_is_attached_is_listed", bed::shared, |server| async {
            what_is_attached_is_listed(server).await;
        }),
        bed::trial("partitions_are_attached_too", bed::shared, |server| async {
            partitions_are_attached_too(server).await;
        }),
    ]
}

/// A reader beside a client.
struct Scene {
    log: PgLog,
    client: PgConnection,
    cursor: invalidation_core::Cursor,
}

impl Scene {
    async fn new(server: &Server) -> Self {
        let url = url(server.address(), &database(server).await);
        let log = installed(&url).await;
        let cursor = log.head().await.unwrap();
        let client = connect(&url).await;
        Self {
            log,
            client,
            cursor,
        }
    }

    /// What the statements made readers do: `keys a b`, with the items in order.
    async fn told(&mut self, sql: &str) -> Vec<String> {
        run(&mut self.client, sql).await;
        let (found, next) = drain(&self.log, &self.cursor).await.unwrap();
        self.cursor = next;
        found.iter().map(words).collect()
    }
}

fn words(entry: &Entry) -> String {
    let listed = |word: &str, items: &[invalidation_core::Text]| {
        let mut items: Vec<_> = items.iter().map(|item| &**item).collect();
        items.sort_unstable();
        format!("{word} {}", items.join(" "))
    };
    match &entry.invalidation {
        Invalidation::Everything => "everything".into(),
        Invalidation::Cache { cache, scope } => match scope {
            Scope::All => format!("clear {cache}"),
            Scope::Keys(items) => listed(&format!("{cache} keys"), items),
            Scope::Tags(items) => listed(&format!("{cache} tags"), items),
        },
    }
}

/// P2: each function appends what it says, with the transaction it is called in, and refuses what cannot be meant.
async fn functions_append_in_any_transaction(server: &Server) {
    let mut scene = Scene::new(server).await;
    for (sql, expected) in [
        (
            "SELECT cache_invalidation.keys('users', '42', E'ä\\\\\"''')",
            vec!["users keys 42 ä\\\"'"],
        ),
        (
            "SELECT cache_invalidation.keys('users', VARIADIC ARRAY['1', '2'])",
            vec!["users keys 1 2"],
        ),
        (
            "SELECT cache_invalidation.keys('users', VARIADIC '{}'::text[])",
            vec![],
        ),
        (
            "SELECT cache_invalidation.tags('users', 'org:7')",
            vec!["users tags org:7"],
        ),
        (
            "SELECT cache_invalidation.clear('users')",
            vec!["clear users"],
        ),
        ("SELECT cache_invalidation.everything()", vec!["everything"]),
        (
            "BEGIN; SELECT cache_invalidation.clear('users'); ROLLBACK",
            vec![],
        ),
    ] {
        assert_eq!(scene.told(sql).await, expected, "{sql}");
    }
    for call in [
        "keys('', '1')",
        "keys(NULL, '1')",
        "keys('users', NULL)",
        "clear(E'a\\nb')",
        "clear(repeat('x', 129))",
    ] {
        let sql = format!("SELECT cache_invalidation.{call}");
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut scene.client)
            .await;
        assert!(refused.is_err(), "{call} is refused");
    }
    assert_eq!(
        scene.told("SELECT 1").await,
        [""; 0],
        "nothing of what was refused"
    );
}

/// Contract: nobody may call them who was not given that; who was needs no other right, and what lies in the search
/// path of a caller is not used.
async fn functions_are_not_for_everybody(server: &Server) {
    let database = database(server).await;
    let log = installed(&url(server.address(), &database)).await;
    let head = log.head().await.unwrap();
    let mut admin = connect(&url(server.address(), &database)).await;
    run(
        &mut admin,
        "CREATE ROLE caller LOGIN; GRANT USAGE ON SCHEMA cache_invalidation TO caller;
         CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO caller;
         CREATE FUNCTION trap.to_json(text[]) RETURNS json LANGUAGE sql AS $$ SELECT '[\"trapped\"]'::json $$",
    )
    .await;
    let mut caller = connect(&url_as("caller", server.address(), &database)).await;
    for call in [
        "keys('u', '1')",
        "clear('u')",
        "everything()",
        "append('u', 'all', '{}')",
    ] {
        let sql = format!("SELECT cache_invalidation.{call}");
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut caller)
            .await;
        let e = refused.expect_err("it is refused");
        assert!(e.to_string().contains("permission denied"), "{call}: {e}");
    }
    run(
        &mut admin,
        "GRANT EXECUTE ON FUNCTION cache_invalidation.keys(text, VARIADIC text[]) TO caller",
    )
    .await;
    run(
        &mut caller,
        "SET search_path = trap, pg_catalog; SELECT cache_invalidation.keys('u', '1')",
    )
    .await;
    let (found, _) = drain(&log, &head).await.unwrap();
    assert_eq!(found.iter().map(words).collect::<Vec<_>>(), ["u keys 1"]);
}

/// P2: insert, update, delete and truncate of an attached table invalidate the keys and tags of its old and its new
/// rows, until it is detached.
async fn attached_tables_tell_every_change(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(
        &mut scene.client,
        "CREATE TABLE users (id int, \"Org\" text, name text)",
    )
    .await;
    let attach = "SELECT cache_invalidation.attach('users', 'users', key => '{id}', tags => '{\"org:{Org}\"}')";
    assert_eq!(
        scene.told(attach).await,
        ["clear users"],
        "what came before"
    );
    assert_eq!(scene.told(attach).await, [""; 0], "it is idempotent");
    for (sql, expected) in [
        (
            "INSERT INTO users VALUES (1, 'a', 'x'), (2, NULL, 'y')",
            vec!["users keys 1 2", "users tags org:a"],
        ),
        (
            "UPDATE users SET name = 'z' WHERE id = 2",
            vec!["users keys 2"],
        ),
        (
            "UPDATE users SET id = 3, \"Org\" = 'b' WHERE id = 1",
            vec!["users keys 1 3", "users tags org:a org:b"],
        ),
        ("UPDATE users SET name = 'z' WHERE id = 99", vec![]),
        (
            "UPDATE users SET id = NULL WHERE id = 2",
            vec!["clear users"],
        ),
        (
            "DELETE FROM users WHERE id = 3",
            vec!["users keys 3", "users tags org:b"],
        ),
        ("BEGIN; TRUNCATE users; ROLLBACK", vec![]),
        ("TRUNCATE users", vec!["clear users"]),
    ] {
        assert_eq!(scene.told(sql).await, expected, "{sql}");
    }
    let pair = "SELECT cache_invalidation.attach('users', 'pairs', key => '{Org}:{id}')";
    assert_eq!(scene.told(pair).await, ["clear pairs"]);
    let told = scene
        .told("INSERT INTO users VALUES (5, E'a:\\\\b', '')")
        .await;
    let tuple = invalidation_core::CacheKey::to_text(&("a:\\b".to_owned(), 5_i64)).into_owned();
    assert!(told.contains(&format!("pairs keys {tuple}")), "{told:?}");
    let detach = "SELECT cache_invalidation.detach('users', 'users'), cache_invalidation.detach('users', 'pairs')";
    assert_eq!(scene.told(detach).await, [""; 0]);
    assert_eq!(scene.told("DELETE FROM users").await, [""; 0]);
}

/// Contract: a template that names no column, or one whose text depends on a session's settings, is refused.
async fn what_has_no_sure_text_is_refused(server: &Server) {
    let mut scene = Scene::new(server).await;
    let table = "CREATE TABLE t (id int, at timestamptz, price float8)";
    run(&mut scene.client, table).await;
    for template in [
        "", "id", "{", "{id", "id}", "{at}", "{price}", "{nope}", "{{id}}",
    ] {
        let sql = format!("SELECT cache_invalidation.attach('t', 'c', key => '{template}')");
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut scene.client)
            .await;
        assert!(refused.is_err(), "{template:?} is refused");
    }
    assert_eq!(scene.told("INSERT INTO t VALUES (1)").await, [""; 0]);
}

/// P11: a change of more rows than are worth naming clears the cache.
async fn bulk_changes_clear(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(&mut scene.client, "CREATE TABLE t (id uuid)").await;
    scene
        .told("SELECT cache_invalidation.attach('t', 'c', key => '{id}')")
        .await;
    let insert = |rows: u32| {
        format!("INSERT INTO t SELECT gen_random_uuid() FROM generate_series(1, {rows})")
    };
    assert_eq!(scene.told(&insert(1_001)).await, ["clear c"]);
    let told = scene.told(&insert(1_000)).await;
    assert!(
        told.len() == 1 && told[0].starts_with("c keys "),
        "{told:?}"
    );
}

/// Contract: a statement on a partition fires the partition's triggers alone, so they are attached as well.
async fn partitions_are_attached_too(server: &Server) {
    let mut scene = Scene::new(server).await;
    run(
        &mut scene.client,
        "CREATE TABLE t (id int) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10);
         CREATE TABLE high PARTITION OF t FOR VALUES FROM (10) TO (20)",
    )
    .await;
    scene
        .told("SELECT cache_invalidation.attach('t', 'c', key => '{id}')")
        .await;
    assert_eq!(
        scene.told("INSERT INTO t VALUES (1), (11)").await,
        ["c keys 1 11"]
    );
    assert_eq!(scene.told("INSERT INTO low VALUES (2)").await, ["c keys 2"]);
    assert_eq!(
        scene.told("UPDATE t SET id = 12 WHERE id = 1").await,
        ["c keys 1 12"]
    );
    scene
        .told("SELECT cache_invalidation.detach('t', 'c')")
        .await;
    assert_eq!(scene.told("DELETE FROM low; DELETE FROM t").await, [""; 0]);
}

/// Contract: attaching from Rust is the same; what is attached is listed, and whether its triggers are there.
async fn what_is_attached_is_listed(server: &Server) {
    let mut scene = Scene::new(server).await;
    // A column whose name in braces must not be taken for anything else.
    let table = "CREATE TABLE \"It's\" (s int, org uuid)";
    run(&mut scene.client, table).await;
    let users = CacheName::new("it's").unwrap();
    let rule = Attach::to(users.clone()).key("{s}").tag(r"o'\:{org}");
    assert!(scene.log.attach("\"It's\"", &rule).await.unwrap());
    assert!(
        !scene.log.attach("\"It's\"", &rule).await.unwrap(),
        "idempotent"
    );
    let told = scene
        .told("INSERT INTO \"It's\" VALUES (1, '00000000-0000-0000-0000-000000000001')")
        .await;
    let expected = [
        "clear it's",
        "it's keys 1",
        r"it's tags o'\:00000000-0000-0000-0000-000000000001",
    ];
    assert_eq!(told, expected);
    let listed = scene.log.attached().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&*listed[0].table, &listed[0].attach, listed[0].active),
        ("\"It's\"", &rule, true)
    );
    run(
        &mut scene.client,
        "ALTER TABLE \"It's\" DISABLE TRIGGER USER",
    )
    .await;
    assert!(!scene.log.attached().await.unwrap()[0].active);
    assert!(
        scene.log.attach("\"It's\"", &rule).await.unwrap(),
        "made anew"
    );
    for (table, rule) in [
        ("nope", &rule),
        ("\"It's\"", &Attach::to(users.clone()).key("{nope}")),
    ] {
        let e = scene.log.attach(table, rule).await.unwrap_err();
        assert_eq!(e.kind, ErrorKind::Invalid, "{e}");
        assert!(e.message.contains("nope"), "{e}");
    }
    assert!(
        scene.log.attached().await.unwrap()[0].active,
        "what was refused changed nothing"
    );
    assert!(scene.log.detach("\"It's\"", &users).await.unwrap());
    assert!(!scene.log.detach("\"It's\"", &users).await.unwrap());
    assert_eq!(scene.log.attached().await.unwrap(), []);
}
