//! Triggers, so that a plain `UPDATE` of any program invalidates.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use invalidation_core::{Cursor, ErrorKind, InvalidationLog};
use invalidation_log_sqlite::{Attach, SqliteLog};
use sqlx::SqliteConnection;
use support::{Database, cache, count, drain, execute, shortly};

/// A log, a table attached to it, and another program's connection.
struct Setting {
    _database: Database,
    log: SqliteLog,
    program: SqliteConnection,
    cursor: Cursor,
}

const USERS: &str =
    "CREATE TABLE users (id INTEGER PRIMARY KEY, org TEXT, name TEXT COLLATE NOCASE)";

fn by_key() -> Attach {
    Attach::to(cache("users")).key("{id}")
}

impl Setting {
    /// The table `schema` makes, attached by `attach`, with `rows` in it.
    async fn new(schema: &str, attach: &Attach, rows: &str) -> Self {
        let database = Database::new();
        let log = database.log().await;
        let mut program = database.connect().await;
        execute(&mut program, schema).await;
        execute(&mut program, rows).await;
        log.attach("users", attach).await.unwrap();
        let cursor = log.head().await.unwrap();
        Self {
            _database: database,
            log,
            program,
            cursor,
        }
    }

    /// What `sql`, run by the other program, invalidates.
    async fn invalidated_by(&mut self, sql: &str) -> Vec<String> {
        execute(&mut self.program, sql).await;
        let (found, next) = drain(&self.log, &self.cursor, 1_000).await;
        self.cursor = next;
        shortly(&found)
    }
}

/// P1: every plain statement of any program invalidates the rows it touches.
#[tokio::test]
async fn plain_statements_invalidate() {
    let mut users = Setting::new(USERS, &by_key(), "").await;
    let steps = [
        (
            "INSERT INTO users VALUES (1, 'a', 'x'), (2, 'a', 'y')",
            vec!["users/keys/1", "users/keys/2"],
        ),
        (
            "UPDATE users SET name = 'z' WHERE id = 1",
            vec!["users/keys/1"],
        ),
        (
            "UPDATE users SET name = 'z'",
            vec!["users/keys/1", "users/keys/2"],
        ),
        (
            "INSERT INTO users VALUES (1, 'a', 'u') ON CONFLICT DO UPDATE SET name = 'u'",
            vec!["users/keys/1"; 2],
        ),
        (
            "INSERT INTO users VALUES (1, 'a', 'u') ON CONFLICT DO NOTHING",
            vec!["users/keys/1"],
        ),
        (
            "REPLACE INTO users VALUES (1, 'b', 'v')",
            vec!["users/keys/1"; 2],
        ),
        ("DELETE FROM users WHERE id = 9", vec![]),
        ("DELETE FROM users", vec!["users/keys/1", "users/keys/2"]),
        (
            "INSERT INTO users (id) VALUES (-9223372036854775808)",
            vec!["users/keys/-9223372036854775808"],
        ),
    ];
    for (sql, expected) in steps {
        assert_eq!(users.invalidated_by(sql).await, expected, "{sql}");
    }
}

/// P1: a temporary table that is named like the log swallows nothing.
#[tokio::test]
async fn triggers_write_to_the_log_itself() {
    let mut users = Setting::new(USERS, &by_key(), "").await;
    let sql = "CREATE TEMP TABLE cache_invalidation_log (id, nonce, cache, scope, items);
               CREATE TEMP TABLE users (id);
               INSERT INTO main.users (id) VALUES (1)";
    assert_eq!(users.invalidated_by(sql).await, ["users/keys/1"]);
}

/// P2: what a trigger appends exists exactly if the change does.
#[tokio::test]
async fn a_rolled_back_change_invalidates_nothing() {
    let mut users = Setting::new(USERS, &by_key(), "").await;
    let sql = "BEGIN; INSERT INTO users (id) VALUES (1); ROLLBACK";
    assert!(users.invalidated_by(sql).await.is_empty());
    let sql =
        "BEGIN; INSERT INTO users (id) VALUES (1); SAVEPOINT s; INSERT INTO users (id) VALUES (2);
               ROLLBACK TO s; COMMIT";
    assert_eq!(users.invalidated_by(sql).await, ["users/keys/1"]);
}

/// P1: a change of the key or of a tag invalidates the old and the new one.
#[tokio::test]
async fn old_and_new_values_are_invalidated() {
    let attach = by_key().tag("org:{org}").tag("{name}");
    let mut users = Setting::new(USERS, &attach, "INSERT INTO users VALUES (1, 'a', 'x')").await;
    let found = users
        .invalidated_by("UPDATE users SET id = 2, org = 'b'")
        .await;
    assert_eq!(found, ["users/keys/1,2", "users/tags/org:a,org:b,x"]);
    let found = users.invalidated_by("UPDATE users SET name = 'X'").await;
    assert_eq!(found, ["users/keys/2", "users/tags/X,org:b,x"], "NOCASE");
    let found = users.invalidated_by("DELETE FROM users").await;
    assert_eq!(found, ["users/keys/2", "users/tags/X,org:b"]);
}

/// A cascade of foreign keys fires the triggers of the tables it reaches.
#[tokio::test]
async fn cascades_invalidate() {
    let schema = "CREATE TABLE orgs (id TEXT PRIMARY KEY);
                  CREATE TABLE users (id INTEGER PRIMARY KEY, org TEXT REFERENCES orgs ON DELETE CASCADE
                                                              ON UPDATE CASCADE)";
    let rows = "INSERT INTO orgs VALUES ('a'), ('b'); INSERT INTO users VALUES (1, 'a'), (2, 'b')";
    let mut users = Setting::new(schema, &by_key().tag("{org}"), rows).await;
    let found = users
        .invalidated_by("UPDATE orgs SET id = 'c' WHERE id = 'a'")
        .await;
    assert_eq!(found, ["users/keys/1", "users/tags/a,c"]);
    let found = users
        .invalidated_by("DELETE FROM orgs WHERE id = 'b'")
        .await;
    assert_eq!(found, ["users/keys/2", "users/tags/b"]);
}

/// P1: rows that are evicted by a conflict are invalidated, by whichever unique columns.
#[tokio::test]
async fn evicted_rows_are_invalidated() {
    let schema = "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, a INT, b TEXT, UNIQUE (a, b))";
    let rows = "INSERT INTO users VALUES (1, 'x', 1, 'p'), (2, 'y', 1, 'q'), (3, 'z', 1, 'r'), (4, NULL, 4, NULL)";
    let mut users = Setting::new(schema, &by_key().tag("m:{mail}"), rows).await;
    let steps = [
        ("INSERT INTO users VALUES (5, NULL, 4, NULL)", "5"),
        ("REPLACE INTO users VALUES (6, 'x', 0, '')", "1 6 m:x"),
        ("REPLACE INTO users VALUES (7, 'w', 1, 'q')", "2 7 m:w m:y"),
        ("REPLACE INTO users VALUES (7, 'v', 8, '')", "7 m:v m:w"),
        (
            "UPDATE OR REPLACE users SET mail = 'v' WHERE id = 3",
            "3 7 m:v m:z",
        ),
        ("UPDATE OR REPLACE users SET id = 4 WHERE id = 3", "3 4 m:v"),
        ("UPDATE users SET a = 9 WHERE id = 4", "4 m:v"),
        (
            "PRAGMA recursive_triggers = ON; REPLACE INTO users VALUES (8, 'v', 7, '')",
            "4 8 m:v",
        ),
    ];
    for (sql, expected) in steps {
        let found = users.invalidated_by(sql).await;
        let texts: std::collections::BTreeSet<_> = found
            .iter()
            .flat_map(|found| found.rsplit('/').next().unwrap().split(','))
            .collect();
        assert_eq!(
            texts.into_iter().collect::<Vec<_>>().join(" "),
            expected,
            "{sql}"
        );
    }
}

/// P1: so they are in a table without row ids, whose primary key has an index of its own.
#[tokio::test]
async fn evicted_rows_without_row_ids_are_invalidated() {
    let schema =
        "CREATE TABLE users (id TEXT, org TEXT, mail TEXT, PRIMARY KEY (id, org)) WITHOUT ROWID";
    let rows = "INSERT INTO users VALUES ('1', 'a', 'x')";
    let attach = Attach::to(cache("users")).tag("{mail}");
    let mut users = Setting::new(schema, &attach, rows).await;
    let found = users
        .invalidated_by("REPLACE INTO users VALUES ('1', 'a', 'y')")
        .await;
    assert_eq!(found, ["users/tags/x", "users/tags/y"]);
    let found = users
        .invalidated_by("REPLACE INTO users VALUES ('1', 'b', 'z')")
        .await;
    assert_eq!(found, ["users/tags/z"]);
}

/// Several columns are escaped as a tuple key is; one is the raw text.
#[tokio::test]
async fn several_columns_are_escaped() {
    let rows = r#"INSERT INTO users VALUES (1, 'a:b\c', 'it''s "":\')"#;
    let attach = by_key().key("{org}:{id}").tag("n={name}");
    let mut users = Setting::new(USERS, &attach, rows).await;
    let found = users.invalidated_by("DELETE FROM users").await;
    let expected = [r"users/keys/a\:b\\c:1", "users/tags/n=it's \"\":\\"];
    assert_eq!(found, expected);
}

/// P12: what has no sure text clears the cache: NULL in a key, blobs, real numbers, text that is not UTF-8.
#[tokio::test]
async fn values_without_a_sure_text_widen() {
    let schema = "CREATE TABLE users (id INTEGER, org TEXT, name TEXT)";
    let mut users = Setting::new(schema, &by_key().tag("{org}"), "").await;
    let steps = [
        ("(NULL, 'a', '')", vec!["users/all"]),
        ("(1, NULL, '')", vec!["users/keys/1"]),
        ("(1.5, 'a', '')", vec!["users/all"]),
        ("(x'31', 'a', '')", vec!["users/all"]),
        ("(1, x'31', '')", vec!["users/all"]),
        ("('text', 'a', '')", vec!["users/keys/text", "users/tags/a"]),
        (
            "(2, CAST(x'ff' AS TEXT), '')",
            vec!["users/keys/2", "users/?"],
        ),
        (
            "(3, 'a' || char(0) || 'b', '')",
            vec!["users/keys/3", "users/tags/a\0b"],
        ),
    ];
    for (row, expected) in steps {
        let sql = format!("INSERT INTO users VALUES {row}");
        assert_eq!(users.invalidated_by(&sql).await, expected, "{row}");
    }
    users.invalidated_by("DELETE FROM users").await;
    users
        .invalidated_by("INSERT INTO users VALUES (1, 'a', '')")
        .await;
    let found = users.invalidated_by("UPDATE users SET id = NULL").await;
    assert_eq!(found, ["users/all"], "the new one is unsure");
    let found = users.invalidated_by("UPDATE users SET id = 1").await;
    assert_eq!(found, ["users/all"], "the old one is unsure");
}

/// Without a key and tags each change clears the cache.
#[tokio::test]
async fn without_templates_the_cache_is_cleared() {
    let mut users = Setting::new(USERS, &Attach::to(cache("users")), "").await;
    let found = users
        .invalidated_by("INSERT INTO users (id) VALUES (1)")
        .await;
    assert_eq!(found, ["users/all"]);
}

/// Names and texts are quoted: whatever they hold, they are names and texts.
#[tokio::test]
async fn odd_names_are_quoted() {
    let table = "a \"b\"; DROP TABLE c; --']";
    let database = Database::new();
    let log = database.log().await;
    let mut program = database.connect().await;
    let quoted = table.replace('"', "\"\"");
    execute(
        &mut program,
        &format!(r#"CREATE TABLE "{quoted}" ("k ""1"" '" TEXT, "order" INT); CREATE TABLE c (x)"#),
    )
    .await;
    let attach = Attach::to(cache("it's \"c\"; --"))
        .key("{k \"1\" '}")
        .tag("x'y\"--:{ORDER}");
    log.attach(table, &attach).await.unwrap();
    let head = log.head().await.unwrap();
    execute(
        &mut program,
        &format!(r#"INSERT INTO "{quoted}" VALUES ('v', 5)"#),
    )
    .await;
    let found = shortly(&drain(&log, &head, 9).await.0);
    let expected = ["it's \"c\"; --/keys/v", "it's \"c\"; --/tags/x'y\"--:5"];
    assert_eq!(found, expected);
    let attached = log.attached().await.unwrap();
    assert_eq!((&*attached[0].table, &attached[0].attach), (table, &attach));
    assert!(log.detach(table, &cache("it's \"c\"; --")).await.unwrap());
    assert_eq!(count(&mut program, "SELECT count(*) FROM c").await, 0);
}

/// What cannot be attached is refused with what there is instead.
#[tokio::test]
async fn what_cannot_be_attached_is_refused() {
    let schema =
        "CREATE TABLE users (id INTEGER PRIMARY KEY, price REAL, raw BLOB, plain, made DATETIME,
                                      short VARCHAR(3), big BIGINT);
                  CREATE VIEW seen AS SELECT * FROM users";
    let users = Setting::new(schema, &by_key(), "").await;
    let refused = async |table: &str, template: &str| {
        let attach = Attach::to(cache("other")).key(template);
        let refused = users.log.attach(table, &attach).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
        refused.message.into_owned()
    };
    assert!(refused("user", "{id}").await.contains("which has: users"));
    assert!(
        refused("users", "{nr}")
            .await
            .contains("it has: id, price, raw")
    );
    assert!(refused("seen", "{id}").await.contains("row triggers"));
    assert!(
        refused("cache_invalidation_log", "{id}")
            .await
            .contains("internal")
    );
    assert!(refused("users", "{price}").await.contains("REAL"));
    assert!(refused("users", "{raw}").await.contains("INTEGER or TEXT"));
    assert!(
        refused("users", "{plain}")
            .await
            .contains("INTEGER or TEXT")
    );
    assert!(refused("users", "{made}").await.contains("DATETIME"));
    for bad in ["", "id", "{id", "id}", "{id}}"] {
        assert!(refused("users", bad).await.contains("in braces"), "{bad}");
    }
    for bad in ["{}", "{{id}}", "{ id }"] {
        assert!(
            refused("users", bad).await.contains("has no column"),
            "{bad}"
        );
    }
    for good in ["{short}", "{big}", "{ID}"] {
        let attach = Attach::to(cache("other")).key(good);
        users.log.attach("USERS", &attach).await.unwrap();
    }
}

/// P1: attaching clears the cache once, as earlier changes were not logged; attaching alike again does nothing.
#[tokio::test]
async fn attaching_again_changes_nothing() {
    let mut users = Setting::new(USERS, &by_key(), "").await;
    users.log.attach("users", &by_key()).await.unwrap();
    assert!(users.invalidated_by("SELECT 1").await.is_empty());
    users
        .log
        .attach("users", &by_key().tag("{org}"))
        .await
        .unwrap();
    assert_eq!(users.invalidated_by("SELECT 1").await, ["users/all"]);
    let found = users
        .invalidated_by("INSERT INTO users VALUES (1, 'a', '')")
        .await;
    assert_eq!(
        found,
        ["users/keys/1", "users/tags/a"],
        "replaced, not doubled"
    );
}

/// A table that was made anew has lost its triggers: that is shown, and mended by attaching again.
#[tokio::test]
async fn lost_triggers_are_shown() {
    let mut users = Setting::new(USERS, &by_key(), "").await;
    assert!(users.log.attached().await.unwrap()[0].active);
    users
        .invalidated_by(&format!("DROP TABLE users; {USERS}"))
        .await;
    assert!(!users.log.attached().await.unwrap()[0].active);
    users.log.attach("users", &by_key()).await.unwrap();
    assert!(users.log.attached().await.unwrap()[0].active);
    assert_eq!(
        users
            .invalidated_by("INSERT INTO users (id) VALUES (1)")
            .await,
        ["users/all", "users/keys/1"]
    );
    users
        .invalidated_by("ALTER TABLE users RENAME TO people")
        .await;
    assert!(!users.log.attached().await.unwrap()[0].active);
    let found = users.invalidated_by("DELETE FROM people").await;
    assert_eq!(found, ["users/keys/1"], "they went with the table");
}

/// A detached table invalidates no more; other attachments of it do.
#[tokio::test]
async fn a_detached_table_is_silent() {
    let mut users = Setting::new(USERS, &by_key(), "").await;
    let by_org = Attach::to(cache("orgs")).key("{org}");
    users.log.attach("users", &by_org).await.unwrap();
    assert!(users.log.detach("USERS", &cache("users")).await.unwrap());
    assert!(!users.log.detach("users", &cache("users")).await.unwrap());
    users.invalidated_by("SELECT 1").await;
    let found = users
        .invalidated_by("INSERT INTO users VALUES (1, 'a', '')")
        .await;
    assert_eq!(found, ["orgs/keys/a"]);
    let attached = users.log.attached().await.unwrap();
    assert_eq!(attached.len(), 1);
    assert_eq!(attached[0].attach, by_org);
}

/// Attaching and detaching can be spawned, and done by many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_attach_at_once() {
    let users = Setting::new(USERS, &by_key(), "").await;
    let log = Arc::new(users.log);
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move {
                let attach = Attach::to(cache(&format!("c{}", number % 2))).key("{id}");
                log.attach("users", &attach).await.unwrap();
                log.attached().await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(log.attached().await.unwrap().len(), 3);
}
