//! Invalidations from any language.

use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{connect, drain, on_own, on_shared, run, scene, url_as, words};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_shared!(p2_procedures_append_in_any_transaction),
        on_own!(procedures_are_not_for_everybody),
    ]
}

/// P2: each procedure appends what it says, with the transaction it is called in, and refuses what cannot be meant.
async fn p2_procedures_append_in_any_transaction(server: &Server) {
    let (log, url, mut cursor) = scene(server).await;
    let mut client = connect(&url).await;
    for (sql, expected) in [
        (
            "CALL cache_invalidation_key('users', 'ä\\\\\"''')",
            Some("users keys ä\\\"'"),
        ),
        (
            "CALL cache_invalidation_keys('users', '[\"1\", \"2\"]')",
            Some("users keys 1 2"),
        ),
        (
            "CALL cache_invalidation_keys('users', JSON_ARRAY('3'))",
            Some("users keys 3"),
        ),
        (
            "CALL cache_invalidation_tag('users', 'org:7')",
            Some("users tags org:7"),
        ),
        (
            "CALL cache_invalidation_tags('users', '[\"a\", \"b\"]')",
            Some("users tags a b"),
        ),
        (
            "CALL cache_invalidation_clear('users')",
            Some("clear users"),
        ),
        ("CALL cache_invalidation_everything()", Some("everything")),
        (
            "BEGIN; CALL cache_invalidation_clear('users'); ROLLBACK",
            None,
        ),
    ] {
        run(&mut client, sql).await;
        let (found, next) = drain(&log, &cursor).await.unwrap();
        cursor = next;
        let found: Vec<_> = found.iter().map(words).collect();
        assert_eq!(found, Vec::from_iter(expected), "{sql}");
    }
    for mode in ["STRICT_TRANS_TABLES", ""] {
        run(&mut client, &format!("SET SESSION sql_mode = '{mode}'")).await;
        for call in [
            "key('', '1')",
            "key(NULL, '1')",
            "key('users', NULL)",
            "keys('users', NULL)",
            "keys('users', '{}')",
            "keys('users', '\"1\"')",
            "keys('users', 'no json')",
            "tag('users', NULL)",
            "tags('users', '1')",
            "clear('')",
            "clear(NULL)",
            "clear(REPEAT('ä', 65))",
            "clear(REPEAT('x', 129))",
        ] {
            let sql = format!("CALL cache_invalidation_{call}");
            let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut client)
                .await;
            assert!(refused.is_err(), "{call} is refused");
        }
    }
    let (found, _) = drain(&log, &cursor).await.unwrap();
    assert_eq!(found, [], "nothing of what was refused");
}

/// Contract: nobody may call them who was not given that; who was needs no other right.
async fn procedures_are_not_for_everybody(server: &Server) {
    let (log, url, head) = scene(server).await;
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let mut admin = connect(&url).await;
    run(
        &mut admin,
        &format!("CREATE USER caller@'%'; GRANT SHOW VIEW ON {database}.* TO caller@'%'"),
    )
    .await;
    let mut caller = connect(&url_as("caller", server.address(), database)).await;
    for call in [
        "CALL cache_invalidation_key('u', '1')",
        "CALL cache_invalidation_everything()",
        "INSERT INTO cache_invalidation_log (scope) VALUES ('everything')",
    ] {
        let refused = sqlx::raw_sql(call).execute(&mut caller).await;
        let e = refused.expect_err("it is refused");
        assert!(e.to_string().contains("denied"), "{call}: {e}");
    }
    run(
        &mut admin,
        "GRANT EXECUTE ON PROCEDURE cache_invalidation_key TO caller@'%'",
    )
    .await;
    run(&mut caller, "CALL cache_invalidation_key('u', '1')").await;
    let (found, _) = drain(&log, &head).await.unwrap();
    assert_eq!(found.iter().map(words).collect::<Vec<_>>(), ["u keys 1"]);
}
