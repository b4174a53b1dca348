//! The connection that sends.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind, Outgoing};
use invalidation_testbed::{Backend, Proxy, Server};
use libtest_mimic::Trial;
use sqlx::postgres::PgListener;

use crate::stage::{
    QUIET, builder, end_sessions, fresh_cluster, hear, node, publish, subscribe, through, trial,
    within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "what_waits_goes_together",
            Backend::Postgres,
            what_waits_goes_together,
        ),
        trial(
            "a_lost_connection_is_told_and_replaced",
            Backend::Postgres,
            a_lost_connection_is_told_and_replaced,
        ),
        trial(
            "what_waited_too_long_is_never_sent",
            Backend::Postgres,
            what_waited_too_long_is_never_sent,
        ),
    ]
}

/// Equal frames that are published at once share transactions, and each of them comes.
async fn what_waits_goes_together(postgres: &'static Server) {
    const FRAMES: usize = 300;
    let cluster = fresh_cluster();
    let proxy = Proxy::to(postgres.address()).unwrap();
    let node = node(&cluster, &through(&proxy));
    let mut listener = PgListener::connect(&postgres.url()).await.unwrap();
    let channel = format!("cache_invalidation:{cluster}");
    listener.listen(&channel).await.unwrap();
    proxy.delay(Duration::from_millis(20));
    let publishing = (0..FRAMES).map(|_| publish(&node, "the same"));
    for published in join_all(publishing).await {
        published.unwrap();
    }
    let mut transactions = 0;
    for _ in 0..FRAMES {
        let notification = within("a notification", listener.recv()).await.unwrap();
        // The first of each transaction.
        transactions += usize::from(notification.payload().starts_with("100"));
    }
    assert!(
        transactions < FRAMES / 10,
        "expected {FRAMES} frames in a few transactions, and they took {transactions}"
    );
}

/// A frame that meets a lost connection fails, the next one goes over another; a probe that meets one replaces it.
async fn a_lost_connection_is_told_and_replaced(postgres: &'static Server) {
    let cluster = fresh_cluster();
    let url = postgres.url();
    let to = node(&cluster, &url);
    let mut subscription = subscribe(&to).await;
    let from = node(&cluster, &format!("{url}?application_name={cluster}"));
    publish(&from, "first").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "first");
    end_sessions(&url, &cluster).await;
    let error = publish(&from, "lost").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    publish(&from, "second").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "second");
    end_sessions(&url, &cluster).await;
    within("probe", from.probe()).await.unwrap();
    publish(&from, "third").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "third");
}

/// Frames that waited behind one in a silent link, until their time was over, do not come when it is well again.
async fn what_waited_too_long_is_never_sent(postgres: &'static Server) {
    let cluster = fresh_cluster();
    let proxy = Proxy::to(postgres.address()).unwrap();
    let to = node(&cluster, &postgres.url());
    let mut subscription = subscribe(&to).await;
    let from = builder(&cluster, &through(&proxy))
        .publish_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    publish(&from, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    proxy.black_hole();
    let in_flight = async {
        let error = publish(&from, "in flight").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    };
    let waiting = async {
        // After the one in flight was taken.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let texts = (0..20).map(|n| Bytes::from(format!("waited {n}")));
        let publishing = texts.map(|bytes| from.publish(Outgoing::to_all(bytes)));
        for published in within("publish", join_all(publishing)).await {
            assert_eq!(published.unwrap_err().kind, ErrorKind::TimedOut);
        }
    };
    tokio::join!(in_flight, waiting);
    proxy.heal();
    within("the link is well again", async {
        while publish(&from, "after").await.is_err() {}
    })
    .await;
    let mut heard = BTreeSet::new();
    while let Ok(text) = tokio::time::timeout(QUIET, hear(&mut subscription)).await {
        heard.insert(text);
    }
    // What was in flight may have come late.
    heard.remove("in flight");
    assert_eq!(heard, BTreeSet::from(["after".to_owned()]));
}
