//! What other clients of the database say.

use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Backend, Server};
use libtest_mimic::Trial;

use crate::stage::{database, fresh_cluster, hear, node, publish, sql, subscribe, trial, within};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("nonsense_is_a_gap", Backend::Postgres, nonsense_is_a_gap),
        trial(
            "a_bare_notify_is_a_doorbell",
            Backend::Postgres,
            a_bare_notify_is_a_doorbell,
        ),
        trial(
            "any_name_of_a_cluster_serves",
            Backend::Postgres,
            any_name_of_a_cluster_serves,
        ),
        trial(
            "a_database_without_an_encoding_is_refused",
            Backend::Postgres,
            a_database_without_an_encoding_is_refused,
        ),
    ]
}

/// `P12`: what is no frame is a gap, and frames come after it as before.
async fn nonsense_is_a_gap(postgres: &'static Server) {
    let cluster = fresh_cluster();
    let node = node(&cluster, &postgres.url());
    let mut subscription = subscribe(&node).await;
    for nonsense in ["hello", "100!", "200AAAA", "ä", "{\"keys\": [1]}"] {
        sql(
            &postgres.url(),
            format!("NOTIFY \"cache_invalidation:{cluster}\", '{nonsense}'"),
        )
        .await;
        assert_eq!(hear(&mut subscription).await, "gap: frame_unreadable");
        publish(&node, "after").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "after");
    }
}

/// `NOTIFY` without a payload, from anybody's SQL, makes each node read its log.
async fn a_bare_notify_is_a_doorbell(postgres: &'static Server) {
    let cluster = fresh_cluster();
    let node = node(&cluster, &postgres.url());
    let mut subscription = subscribe(&node).await;
    let notify = format!("NOTIFY \"cache_invalidation:{cluster}\"");
    sql(&postgres.url(), notify).await;
    assert_eq!(hear(&mut subscription).await, "nudge");
}

/// A name of any characters and length is a channel, and no other cluster's.
async fn any_name_of_a_cluster_serves(postgres: &'static Server) {
    let long = "x".repeat(127);
    let mut heard = Vec::new();
    for name in [
        "it's \"x\"; --\\",
        "ä€😀",
        &format!("{long}1"),
        &format!("{long}2"),
    ] {
        let node = node(name, &postgres.url());
        let subscription = subscribe(&node).await;
        heard.push((node, subscription));
    }
    for (node, subscription) in &mut heard {
        publish(node, "own").await.unwrap();
        assert_eq!(hear(subscription).await, "own");
    }
    for (node, subscription) in &mut heard {
        // Nothing of the others' came in between.
        publish(node, "last").await.unwrap();
        assert_eq!(hear(subscription).await, "last");
    }
}

/// There a notification may be no text, at which the driver panics: subscribing says so instead.
async fn a_database_without_an_encoding_is_refused(postgres: &'static Server) {
    sql(
        &postgres.url(),
        "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0",
    )
    .await;
    let node = node(&fresh_cluster(), &database(&postgres.url(), "ascii"));
    let error = match within("subscribe", node.subscribe()).await {
        Ok(_) => panic!("expected a database in SQL_ASCII to be refused"),
        Err(error) => error,
    };
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("SQL_ASCII"), "{error}");
}
