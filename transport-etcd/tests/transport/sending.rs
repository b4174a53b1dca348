//! What is sent.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind, Outgoing};
use invalidation_testbed::{Proxy, Server};
use libtest_mimic::Trial;

use crate::stage::{
    QUIET, builder, client, fresh_cluster, hear, key, node, own, publish, refusal, subscribe,
    trial, url, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_waits_goes_together", what_waits_goes_together),
        trial("much_at_once_is_split", much_at_once_is_split),
        trial(
            "a_lost_connection_is_told_and_replaced",
            a_lost_connection_is_told_and_replaced,
        ),
        trial(
            "what_waited_too_long_is_never_sent",
            what_waited_too_long_is_never_sent,
        ),
        trial(
            "large_frames_that_wait_are_bounded",
            large_frames_that_wait_are_bounded,
        ),
    ]
}

/// Frames that are published at once share puts, and each of them comes once.
async fn what_waits_goes_together(etcd: &'static Server) {
    const FRAMES: usize = 300;
    let cluster = fresh_cluster();
    let proxy = Proxy::to(etcd.address()).unwrap();
    let (from, to) = (
        node(&cluster, proxy.address()),
        node(&cluster, etcd.address()),
    );
    let mut subscription = subscribe(&to).await;
    proxy.delay(Duration::from_millis(20));
    let texts: Vec<_> = (0..FRAMES).map(|n| n.to_string()).collect();
    for published in join_all(texts.iter().map(|text| publish(&from, text))).await {
        published.unwrap();
    }
    let mut missing: BTreeSet<_> = texts.into_iter().collect();
    for _ in 0..FRAMES {
        let text = hear(&mut subscription).await;
        assert!(
            missing.remove(&text),
            "expected each frame once, and got {text}"
        );
    }
    let mut any = client(etcd).await;
    let puts = any.get(key(&cluster), None).await.unwrap().kvs()[0].version();
    assert!(
        puts < 10,
        "expected {FRAMES} frames in a few puts, and they took {puts}"
    );
}

/// What does not fit into one request goes in several, in order.
async fn much_at_once_is_split(etcd: &'static Server) {
    const FRAMES: usize = 9;
    let cluster = fresh_cluster();
    let (from, to) = (
        node(&cluster, etcd.address()),
        node(&cluster, etcd.address()),
    );
    let mut subscription = subscribe(&to).await;
    let texts: Vec<_> = (0..FRAMES).map(|n| n.to_string().repeat(400_000)).collect();
    for published in join_all(texts.iter().map(|text| publish(&from, text))).await {
        published.unwrap();
    }
    for text in &texts {
        assert!(&hear(&mut subscription).await == text);
    }
}

/// A frame that meets a lost connection fails, or goes over another; a probe that meets one replaces it.
async fn a_lost_connection_is_told_and_replaced(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let proxy = Proxy::to(etcd.address()).unwrap();
    let (from, to) = (
        node(&cluster, proxy.address()),
        node(&cluster, etcd.address()),
    );
    let mut subscription = subscribe(&to).await;
    publish(&from, "first").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "first");
    proxy.cut();
    let error = refusal("publish", publish(&from, "lost")).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    proxy.heal();
    publish(&from, "second").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "second");
    proxy.cut();
    proxy.heal();
    within("probe", from.probe()).await.unwrap();
    publish(&from, "third").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "third");
}

/// Frames that waited behind others in a silent link, until their time was over, do not come when it is well again, not
/// even beside one whose time is not over.
async fn what_waited_too_long_is_never_sent(etcd: &'static Server) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let cluster = fresh_cluster();
    let proxy = Proxy::to(etcd.address()).unwrap();
    let to = node(&cluster, etcd.address());
    let mut subscription = subscribe(&to).await;
    let from = builder(&cluster, &url(proxy.address()))
        .publish_timeout(TIMEOUT)
        .build()
        .unwrap();
    publish(&from, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    proxy.black_hole();
    let in_flight = async {
        let error = refusal("publish", publish(&from, "in flight")).await;
        assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    };
    let waiting = async {
        // After the one in flight was taken.
        tokio::time::sleep(TIMEOUT / 10).await;
        // Two of them to a put.
        let late = Bytes::from("late".repeat(100_000));
        let publishing = (0..19).map(|_| from.publish(Outgoing::to_all(late.clone())));
        for published in within("publish", join_all(publishing)).await {
            assert_eq!(published.unwrap_err().kind, ErrorKind::TimedOut);
        }
        proxy.heal();
    };
    let in_time = async {
        tokio::time::sleep(TIMEOUT / 2).await;
        // On a busy machine it may be too late as well.
        drop(publish(&from, "in time").await);
    };
    tokio::join!(in_flight, waiting, in_time);
    within("the link is well again", async {
        while publish(&from, "after").await.is_err() {}
    })
    .await;
    let mut heard = BTreeSet::new();
    while let Ok(text) = tokio::time::timeout(QUIET, hear(&mut subscription)).await {
        heard.insert(text.get(..20).unwrap_or(&text).to_owned());
    }
    // What was in flight may have come late.
    heard.remove("in flight");
    heard.remove("in time");
    assert_eq!(heard, BTreeSet::from(["after".to_owned()]));
}

/// `P18`: of large frames, fewer wait for who does not read than of small ones: the others are a gap.
async fn large_frames_that_wait_are_bounded(_etcd: &'static Server) {
    const AT_ONCE: usize = 100;
    let etcd = own(&[]).await;
    let cluster = fresh_cluster();
    let (from, to) = (
        node(&cluster, etcd.address()),
        node(&cluster, etcd.address()),
    );
    let mut subscription = subscribe(&to).await;
    let large = Bytes::from(vec![b'x'; from.capabilities().max_frame]);
    // Together far below the number that may wait. The watch may be behind what was published before.
    for _ in 0..4 {
        for _ in 0..AT_ONCE {
            let frame = Outgoing::to_all(large.clone());
            within("publish", from.publish(frame)).await.unwrap();
        }
        let heard = hear(&mut subscription).await;
        if heard == "gap: overflow" {
            return;
        }
        assert!(heard.len() == large.len(), "expected a frame or a gap");
    }
    panic!("expected a gap, and all waits");
}
