//! The connection that listens.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{future::join_all, poll};
use invalidation_core::{CacheInvalidationTransport as _, Outgoing};
use invalidation_testbed::{Proxy, RedisSetup};
use libtest_mimic::Trial;
use tokio::{runtime::Handle, time::Instant};

use crate::stage::{
    PATIENCE, blocking, builder, command, common, end_of, fresh_cluster, hear, node, publish,
    start, subscribe, trial, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_lost_link_ends_the_subscription",
            a_lost_link_ends_the_subscription,
        ),
        trial(
            "a_slow_subscriber_is_cut_and_told",
            a_slow_subscriber_is_cut_and_told,
        ),
        trial(
            "a_silent_link_is_left_at_once",
            a_silent_link_is_left_at_once,
        ),
        trial("a_busy_link_is_no_silent_one", a_busy_link_is_no_silent_one),
        trial(
            "one_question_serves_many_frames",
            one_question_serves_many_frames,
        ),
    ]
}

/// An administrator ends the node's connections: that is the end of the subscription. The next one is live, and what is
/// published afterwards arrives.
async fn a_lost_link_ends_the_subscription() {
    let redis = start(RedisSetup::new()).await;
    let node = node(&fresh_cluster(), &redis.url());
    for _ in 0..3 {
        let mut subscription = subscribe(&node).await;
        publish(&node, "before").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "before");
        for kind in ["pubsub", "normal"] {
            command(redis.address(), &format!("CLIENT KILL TYPE {kind}"))
                .await
                .unwrap();
        }
        let end = hear(&mut subscription).await;
        assert!(end.starts_with("end: Unavailable"), "{end}");
        assert_eq!(hear(&mut subscription).await, "end");
    }
}

/// A subscriber that the network makes too slow is cut by the server, which tells its publishers nothing: it is the end of
/// the subscription, and not of silence.
async fn a_slow_subscriber_is_cut_and_told() {
    let limit = "client-output-buffer-limit pubsub 4mb 2mb 60";
    let redis = start(RedisSetup::new().directive(limit)).await;
    let proxy = Proxy::to(redis.address()).unwrap();
    let cluster = fresh_cluster();
    let url = format!("redis://{}", proxy.address());
    // Its own heartbeat finds nothing before.
    let slow = builder(&cluster, &url).notices_loss_within(Duration::from_secs(600));
    let slow = slow.build().unwrap();
    let mut subscription = subscribe(&slow).await;
    let publisher = node(&cluster, &redis.url());
    publish(&publisher, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    let proxy = blocking(move || {
        proxy.black_hole();
        proxy
    })
    .await;
    let large = Bytes::from(vec![0; 1 << 20]);
    let deadline = Instant::now() + PATIENCE;
    let subscribers = "CLIENT LIST TYPE pubsub";
    while !format!("{:?}", command(redis.address(), subscribers).await).contains("\"\"") {
        assert!(Instant::now() < deadline, "the server cuts nobody");
        let frame = Outgoing::to_all(large.clone());
        within("publish", publisher.publish(frame)).await.unwrap();
    }
    blocking(move || {
        proxy.heal();
        // It stays to deliver what came.
        std::mem::forget(proxy);
    })
    .await;
    let end = end_of(&mut subscription).await;
    assert!(end.contains("client-output-buffer-limit"), "{end}");
}

/// A subscription and a transport that are dropped over a silent link leave no task that waits for an answer.
async fn a_silent_link_is_left_at_once() {
    let redis = common().await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let proxy = Proxy::to(redis.address()).unwrap();
    let url = format!("redis://{}", proxy.address());
    for closes in [true, false] {
        proxy.heal();
        let node = node(&fresh_cluster(), &url);
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

/// Where the answer to a heartbeat comes later than is waited for, frames that come meanwhile are a sign of life: a link
/// that is only busy stays.
async fn a_busy_link_is_no_silent_one() {
    const LATE: Duration = Duration::from_millis(1_500);
    let redis = common().await;
    let proxy = Proxy::to(redis.address()).unwrap();
    proxy.delay(LATE);
    let cluster = fresh_cluster();
    let url = format!("redis://{}", proxy.address());
    let listener = builder(&cluster, &url)
        .publish_timeout(PATIENCE)
        .notices_loss_within(LATE * 3 - LATE / 2)
        .build()
        .unwrap();
    let publisher = node(&cluster, &redis.url());
    let publishing = async {
        loop {
            publish(&publisher, "sign of life").await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let listening = async {
        let mut subscription = subscribe(&listener).await;
        let enough = Instant::now() + LATE * 6;
        while Instant::now() < enough {
            assert_eq!(hear(&mut subscription).await, "sign of life");
        }
    };
    tokio::select! {
        () = publishing => {}
        () = listening => {}
    }
}

/// Frames that are under way together share the question whether the server is still the primary, and its answer.
async fn one_question_serves_many_frames() {
    const FRAMES: usize = 500;
    let redis = start(RedisSetup::new()).await;
    let node = node(&fresh_cluster(), &redis.url());
    publish(&node, "first").await.unwrap();
    let asked = async || {
        let stats = command(redis.address(), "INFO commandstats").await.unwrap();
        let stats: String = redis::from_redis_value(stats).unwrap();
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_hello:calls="))
            .unwrap();
        line.split(',').next().unwrap().parse::<usize>().unwrap()
    };
    let before = asked().await;
    let frames = (0..FRAMES).map(|_| publish(&node, "one of many"));
    for sent in join_all(frames).await {
        sent.unwrap();
    }
    let asked = asked().await - before;
    assert!(
        (1..FRAMES / 2).contains(&asked),
        "expected few questions for {FRAMES} frames, and got {asked}"
    );
}
