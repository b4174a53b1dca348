//! The connection to a member.

use std::time::Duration;

use futures_util::poll;
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind};
use invalidation_testbed::{Proxy, Server};
use libtest_mimic::Trial;
use tokio::{runtime::Handle, time::Instant};

use crate::stage::{
    PATIENCE, builder, client, fresh_cluster, hear, node, publish, refusal, subscribe, trial, url,
    within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_lost_link_ends_the_subscription",
            a_lost_link_ends_the_subscription,
        ),
        trial(
            "a_silent_link_is_left_at_once",
            a_silent_link_is_left_at_once,
        ),
        trial(
            "an_idle_subscription_lives_on",
            an_idle_subscription_lives_on,
        ),
        trial(
            "a_silent_link_fails_what_waits",
            a_silent_link_fails_what_waits,
        ),
        trial("settings_are_checked", settings_are_checked),
    ]
}

/// A link that is reset is the end of the subscription. The next one is live, and its link carries what comes after.
async fn a_lost_link_ends_the_subscription(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let proxy = Proxy::to(etcd.address()).unwrap();
    let to = node(&cluster, proxy.address());
    let from = node(&cluster, etcd.address());
    for _ in 0..3 {
        let mut subscription = subscribe(&to).await;
        publish(&from, "before").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "before");
        proxy.cut();
        assert_eq!(hear(&mut subscription).await, "end: Unavailable");
        assert_eq!(hear(&mut subscription).await, "end");
        proxy.heal();
        let _live = subscribe(&to).await;
        publish(&to, "over its link").await.unwrap();
    }
}

/// A subscription and a transport that are dropped over a silent link leave no task that waits for an answer.
async fn a_silent_link_is_left_at_once(etcd: &'static Server) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let proxy = Proxy::to(etcd.address()).unwrap();
    for closes in [true, false] {
        proxy.heal();
        let node = node(&fresh_cluster(), proxy.address());
        let subscription = subscribe(&node).await;
        publish(&node, "before").await.unwrap();
        proxy.black_hole();
        assert!(poll!(Box::pin(node.subscribe())).is_pending());
        if closes {
            within("close", node.close()).await.unwrap();
        }
        drop((subscription, node));
        let deadline = Instant::now() + PATIENCE;
        while tasks() > before {
            assert!(
                Instant::now() < deadline,
                "expected {before} tasks, and {} are alive",
                tasks()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A link over which nothing comes for longer than a loss is noticed in stays, since the server gives signs of life; and
/// it does not take them for an attack, as it would take pings.
async fn an_idle_subscription_lives_on(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let proxy = Proxy::to(etcd.address()).unwrap();
    let to = builder(&cluster, &url(proxy.address()))
        .notices_loss_within(Duration::from_secs(5))
        .build()
        .unwrap();
    let mut subscription = subscribe(&to).await;
    let idle = Duration::from_secs(7);
    if let Ok(heard) = tokio::time::timeout(idle, hear(&mut subscription)).await {
        panic!("expected nothing on an idle link, and got {heard}");
    }
    assert_eq!(proxy.connections(), 1);
    publish(&node(&cluster, etcd.address()), "after a pause")
        .await
        .unwrap();
    assert_eq!(hear(&mut subscription).await, "after a pause");
}

/// A frame that waits for its answer over the link of a subscription that was found lost is not left to its time-out.
async fn a_silent_link_fails_what_waits(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let proxy = Proxy::to(etcd.address()).unwrap();
    let node = builder(&cluster, &url(proxy.address()))
        .publish_timeout(PATIENCE * 10)
        .notices_loss_within(Duration::from_secs(3))
        .build()
        .unwrap();
    let mut subscription = subscribe(&node).await;
    proxy.black_hole();
    let error = refusal("publish", publish(&node, "lost")).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(hear(&mut subscription).await, "end: TimedOut");
    proxy.heal();
    publish(&node, "after").await.unwrap();
    let mut any = client(etcd).await;
    let got = any.get(crate::stage::key(&cluster), None).await.unwrap();
    assert!(got.kvs()[0].value().ends_with(b"after"));
}

/// What cannot be is refused by `build`, by name, and no credential is repeated.
async fn settings_are_checked(_etcd: &'static Server) {
    let good = || builder("billing", "etcd://localhost");
    assert!(good().build().is_ok());
    assert!(
        builder("billing", "etcds://a:1,[::1]")
            .insecure_tls()
            .build()
            .is_ok(),
        "TLS without checks, asked for by name"
    );
    for (builder, expected) in [
        (builder("", "etcd://a"), "name"),
        (builder("b", "http://u:hunter2@a"), "etcd://USER:PASSWORD"),
        (builder("b", "etcd://u:hunter2@a?x"), "etcd://USER:PASSWORD"),
        (good().user("u"), "no password"),
        (good().password("hunter2"), "no user"),
        (good().insecure_tls(), "write etcds://"),
        (good().ca_file("/nowhere"), "write etcds://"),
        (
            builder("b", "etcds://a").ca_file("/nowhere/ca.pem"),
            "/nowhere/ca.pem cannot be read",
        ),
        (
            builder("b", "etcds://a").ca_file("/nowhere").insecure_tls(),
            "say one",
        ),
        (good().buffered(0), "buffered"),
        (good().publish_timeout(Duration::ZERO), "publish_timeout"),
        (good().connect_timeout(Duration::ZERO), "connect_timeout"),
        (good().notices_loss_within(Duration::MAX), "notices_loss"),
        (
            good().reconnect_wait(Duration::from_secs(2), Duration::from_secs(1)),
            "reconnect_wait",
        ),
    ] {
        let shown = format!("{builder:?}");
        let error = builder.build().expect_err(expected);
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
        for text in [shown, format!("{error:?}"), error.to_string()] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
