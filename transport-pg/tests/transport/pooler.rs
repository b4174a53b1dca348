//! Behind pgbouncer.

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Backend, Server};
use libtest_mimic::Trial;

use crate::stage::{database, fresh_cluster, hear, node, publish, sql, subscribe, trial, within};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "the_self_test_names_the_pooler",
            Backend::Pgbouncer,
            the_self_test_names_the_pooler,
        ),
        trial(
            "the_self_test_names_a_pooler_of_many_sessions",
            Backend::Pgbouncer,
            the_self_test_names_a_pooler_of_many_sessions,
        ),
        trial(
            "frames_are_sent_through_a_pooler",
            Backend::Pgbouncer,
            frames_are_sent_through_a_pooler,
        ),
        trial(
            "a_pooler_denies_as_the_server_does",
            Backend::Pgbouncer,
            a_pooler_denies_as_the_server_does,
        ),
        trial(
            "a_pool_of_sessions_serves",
            Backend::Pgbouncer,
            a_pool_of_sessions_serves,
        ),
    ]
}

/// Where LISTEN succeeds and nothing would ever come, subscribing fails each time, and says what stands in between and
/// what to change.
async fn the_self_test_names_the_pooler(pgbouncer: &'static Server) {
    // One session listens and notifies.
    subscribing_names_the_pooler(pgbouncer).await;
}

/// So it does when another session is notified than the one that listens.
async fn the_self_test_names_a_pooler_of_many_sessions(_shared: &'static Server) {
    let pgbouncer = own_pgbouncer("SET server_round_robin = 1").await;
    // Two at once, so that the pool has two sessions to take turns.
    let url = pgbouncer.url();
    let wait = || sql(&url, "SELECT pg_sleep(0.3)");
    tokio::join!(wait(), wait());
    subscribing_names_the_pooler(&pgbouncer).await;
}

async fn subscribing_names_the_pooler(pgbouncer: &Server) {
    let node = node(&fresh_cluster(), &pgbouncer.url());
    for _ in 0..3 {
        let error = match within("subscribe", node.subscribe()).await {
            Ok(_) => panic!("expected the self-test to fail behind a pooler in transaction mode"),
            Err(error) => error,
        };
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        for word in [
            "pgbouncer",
            "pool_mode = transaction",
            "directly",
            "session",
        ] {
            assert!(
                error.message.contains(word),
                "expected {word:?} in: {error}"
            );
        }
    }
}

/// Through a pooler in transaction mode frames are still sent, whole, once and in order, also when subscribing was
/// tried through it: that leaves nothing behind which hears them.
async fn frames_are_sent_through_a_pooler(pgbouncer: &'static Server) {
    let cluster = fresh_cluster();
    let postgres = invalidation_testbed::shared(Backend::Postgres).unwrap();
    let direct = node(&cluster, &postgres.url());
    let pooled = node(&cluster, &pgbouncer.url());
    let mut subscription = subscribe(&direct).await;
    for text in ["a", "b", "c", "d"] {
        assert!(within("subscribe", pooled.subscribe()).await.is_err());
        publish(&pooled, text).await.unwrap();
        assert_eq!(hear(&mut subscription).await, text);
    }
}

/// A pooler has one code for all that it refuses; whom it does not know is denied all the same.
async fn a_pooler_denies_as_the_server_does(pgbouncer: &'static Server) {
    let url = pgbouncer.url().replace("//postgres@", "//nobody:wrong@");
    let node = node(&fresh_cluster(), &url);
    let probed = within("probe", node.probe()).await.unwrap_err();
    assert_eq!(probed.kind, ErrorKind::Denied, "{probed}");
    let published = publish(&node, "x").await.unwrap_err();
    assert_eq!(published.kind, ErrorKind::Denied, "{published}");
}

/// In session mode the same pooler serves.
async fn a_pool_of_sessions_serves(_shared: &'static Server) {
    let pgbouncer = own_pgbouncer("SET pool_mode = session").await;
    let cluster = fresh_cluster();
    let [from, to] = [(); 2].map(|()| node(&cluster, &pgbouncer.url()));
    let mut subscription = subscribe(&to).await;
    publish(&from, "through a session").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "through a session");
}

/// A pooler in front of the shared server, with another setting.
async fn own_pgbouncer(setting: &'static str) -> Server {
    let starting = tokio::task::spawn_blocking(|| {
        let postgres = invalidation_testbed::shared(Backend::Postgres)?;
        Server::pgbouncer(postgres.address())
    });
    let pgbouncer = starting.await.unwrap().unwrap();
    sql(&database(&pgbouncer.url(), "pgbouncer"), setting).await;
    pgbouncer
}
