//! The link: its end, and its silence.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, poll};
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind, Outgoing};
use invalidation_testbed::{Proxy, Server};
use libtest_mimic::Trial;
use tokio::{runtime::Handle, time::Instant};

use crate::relay::Relay;
use crate::stage::{
    Bed, PATIENCE, Setup, builder, fresh_cluster, hear, node, publish, signal, subscribe, through,
    trial, trial_on, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_lost_link_ends_the_subscription",
            a_lost_link_ends_the_subscription,
        ),
        trial(
            "a_reset_link_is_not_taken_up_again",
            a_reset_link_is_not_taken_up_again,
        ),
        trial_on(
            "a_link_on_which_nothing_goes_is_given_up",
            || Setup::new("ping_interval: \"200ms\", ping_max: 10000"),
            a_link_on_which_nothing_goes_is_given_up,
        ),
        trial(
            "a_silent_link_is_left_at_once",
            a_silent_link_is_left_at_once,
        ),
        trial(
            "a_full_silent_link_is_left_in_time",
            a_full_silent_link_is_left_in_time,
        ),
        trial(
            "an_idle_subscription_lives_on",
            an_idle_subscription_lives_on,
        ),
        trial(
            "what_came_before_the_end_is_read",
            what_came_before_the_end_is_read,
        ),
        trial_on(
            "a_server_that_says_goodbye_is_a_gap",
            || Setup::new("lame_duck_duration: \"30s\", lame_duck_grace_period: \"5s\""),
            a_server_that_says_goodbye_is_a_gap,
        ),
    ]
}

/// A cut link is the end of the subscription, with an error, and of nothing else. The next one is live.
async fn a_lost_link_ends_the_subscription(nats: &'static Server) {
    let proxy = Proxy::to(nats.address()).unwrap();
    let node = node(&fresh_cluster(), &through(&proxy));
    for _ in 0..3 {
        let mut subscription = subscribe(&node).await;
        publish(&node, "before").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "before");
        proxy.cut();
        assert_eq!(hear(&mut subscription).await, "end: Unavailable");
        assert_eq!(hear(&mut subscription).await, "end");
        proxy.heal();
    }
}

/// What came over a link before it was lost is read, and only then its end.
async fn what_came_before_the_end_is_read(nats: &'static Server) {
    let proxy = Proxy::to(nats.address()).unwrap();
    let cluster = fresh_cluster();
    let to = node(&cluster, &through(&proxy));
    let from = node(&cluster, &nats.url());
    let mut subscription = subscribe(&to).await;
    publish(&to, "own").await.unwrap();
    publish(&from, "another's").await.unwrap();
    // Its answer comes behind both.
    within("probe", to.probe()).await.unwrap();
    proxy.cut();
    let deadline = Instant::now() + PATIENCE;
    while to.probe().await.is_ok() {
        assert!(Instant::now() < deadline, "the link was cut");
    }
    proxy.heal();
    // Over another connection, of which this subscription knows nothing.
    within("probe", to.probe()).await.unwrap();
    publish(&from, "missed").await.unwrap();
    for expected in ["own", "another's", "end: Unavailable", "end"] {
        assert_eq!(hear(&mut subscription).await, expected);
    }
}

/// A link that is lost while the server takes new ones at once ends all that used it. The driver would connect again and
/// go on: what was sent meanwhile would be missing without a word, and what it had written be lost though a later message
/// came through.
async fn a_reset_link_is_not_taken_up_again(nats: &'static Server) {
    let relay = Relay::to(nats.address()).await;
    let cluster = fresh_cluster();
    let from = node(&cluster, &nats.url());
    let to = node(&cluster, &relay.url());
    for _ in 0..3 {
        let mut subscription = subscribe(&to).await;
        publish(&from, "before").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "before");
        relay.reset();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "expected an end");
            publish(&from, "after").await.unwrap();
            match hear(&mut subscription).await.as_str() {
                "end: Unavailable" => break,
                // Until the reset has come through.
                heard => assert_eq!(heard, "after"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A link on which the server is heard, and does not hear, is given up as a silent one is.
async fn a_link_on_which_nothing_goes_is_given_up(bed: Bed) {
    let relay = Relay::to(bed.server.address()).await;
    let node = builder(&fresh_cluster(), &relay.url())
        .publish_timeout(Duration::from_millis(500))
        .notices_loss_within(Duration::from_secs(2))
        .build()
        .unwrap();
    let mut subscription = subscribe(&node).await;
    publish(&node, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    relay.is_deaf(true);
    let error = publish(&node, "unheard").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert_eq!(hear(&mut subscription).await, "end: Unavailable");
    relay.is_deaf(false);
    let mut subscription = subscribe(&node).await;
    publish(&node, "after").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "after");
}

async fn until_no_more_than(before: usize) {
    let deadline = Instant::now() + PATIENCE;
    while Handle::current().metrics().num_alive_tasks() > before {
        assert!(
            Instant::now() < deadline,
            "expected {before} tasks, and {} are alive",
            Handle::current().metrics().num_alive_tasks()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A subscription and a transport that are dropped over a silent link leave no task that waits for an answer.
async fn a_silent_link_is_left_at_once(nats: &'static Server) {
    let before = Handle::current().metrics().num_alive_tasks();
    let proxy = Proxy::to(nats.address()).unwrap();
    for closes in [true, false] {
        proxy.heal();
        let node = node(&fresh_cluster(), &through(&proxy));
        let subscription = subscribe(&node).await;
        publish(&node, "before").await.unwrap();
        proxy.black_hole();
        assert!(poll!(Box::pin(node.subscribe())).is_pending());
        if closes {
            within("close", node.close()).await.unwrap();
        }
        drop((subscription, node));
        until_no_more_than(before).await;
    }
}

/// Nor do those whose link is full of what cannot be sent, though the driver then hears of nothing until its pings are
/// over.
async fn a_full_silent_link_is_left_in_time(nats: &'static Server) {
    let before = Handle::current().metrics().num_alive_tasks();
    let proxy = Proxy::to(nats.address()).unwrap();
    let node = node(&fresh_cluster(), &through(&proxy));
    let mut subscription = subscribe(&node).await;
    proxy.black_hole();
    let large = Bytes::from(vec![0; 1 << 20]);
    let frames = (0..32).map(|_| node.publish(Outgoing::to_all(large.clone())));
    for published in within("publish", join_all(frames)).await {
        assert!(published.is_err());
    }
    assert!(matches!(
        within("the silence is noticed", subscription.next()).await,
        Some(Err(_))
    ));
    within("close", node.close()).await.unwrap();
    drop((subscription, node));
    until_no_more_than(before).await;
}

/// A link over which nothing comes for longer than a loss is noticed in stays, since the server gives signs of life.
async fn an_idle_subscription_lives_on(nats: &'static Server) {
    let node = node(&fresh_cluster(), &nats.url());
    let mut subscription = subscribe(&node).await;
    let longer = node.capabilities().notices_loss_within + Duration::from_millis(500);
    if let Ok(heard) = tokio::time::timeout(longer, hear(&mut subscription)).await {
        panic!("expected nothing on an idle link, and got {heard}");
    }
    publish(&node, "after a pause").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "after a pause");
}

/// In lame-duck mode a server still carries frames, and will cut its clients off at any time: that is a gap, and then an
/// end.
async fn a_server_that_says_goodbye_is_a_gap(bed: Bed) {
    let node = node(&fresh_cluster(), &bed.server.url());
    let mut subscription = subscribe(&node).await;
    signal(&bed.server, "ldm");
    assert_eq!(hear(&mut subscription).await, "gap: link_lost");
    publish(&node, "meanwhile").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "meanwhile");
    drop(bed);
    assert_eq!(hear(&mut subscription).await, "end: Unavailable");
}
