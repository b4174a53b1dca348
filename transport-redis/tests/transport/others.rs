//! What other clients of the server say, and other clusters.

use invalidation_core::ErrorKind;
use invalidation_transport_redis::RedisTransport;
use libtest_mimic::Trial;
use redis::AsyncCommands as _;

use crate::stage::{client, common, fresh_cluster, hear, node, publish, subscribe, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("nonsense_is_a_gap", nonsense_is_a_gap),
        trial("a_bare_publish_is_a_doorbell", a_bare_publish_is_a_doorbell),
        trial("any_name_of_a_cluster_serves", any_name_of_a_cluster_serves),
        trial("databases_are_apart", databases_are_apart),
        trial("settings_are_checked", settings_are_checked),
    ]
}

/// `P12`: what is no frame is a gap, and frames come after it as before.
async fn nonsense_is_a_gap() {
    let (redis, cluster) = (common().await, fresh_cluster());
    let node = node(&cluster, &redis.url());
    let mut subscription = subscribe(&node).await;
    let mut client = client(redis.address()).await;
    let channel = format!("cache_invalidation:{{{cluster}}}");
    for nonsense in [&b"hello"[..], b"\0", b"2AAAA", b"\xff\r\n"] {
        let heard: i64 = client.publish(&channel, nonsense).await.unwrap();
        assert_eq!(heard, 1, "who hears {channel}");
        assert_eq!(hear(&mut subscription).await, "gap: frame_unreadable");
        publish(&node, "after").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "after");
    }
}

/// A message without a payload, from any client or script, makes each node read its log.
async fn a_bare_publish_is_a_doorbell() {
    let (redis, cluster) = (common().await, fresh_cluster());
    let node = node(&cluster, &redis.url());
    let mut subscription = subscribe(&node).await;
    let mut client = client(redis.address()).await;
    let channel = format!("cache_invalidation:{{{cluster}}}");
    let script = redis::Script::new("return redis.call('PUBLISH', ARGV[1], '')");
    let heard: i64 = script.arg(channel).invoke_async(&mut client).await.unwrap();
    assert_eq!(heard, 1);
    assert_eq!(hear(&mut subscription).await, "nudge");
}

/// A name of any characters and length is a channel, and no other cluster's.
async fn any_name_of_a_cluster_serves() {
    let redis = common().await;
    let long = "x".repeat(127);
    let mut heard = Vec::new();
    for name in [
        "it's {\"x\"}; *",
        "ä€😀",
        &format!("{long}1"),
        &format!("{long}2"),
    ] {
        let node = node(name, &redis.url());
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

/// Clusters of one name in two databases know nothing of each other, though channels know nothing of databases.
async fn databases_are_apart() {
    let (redis, cluster) = (common().await, fresh_cluster());
    let in_database = |number| node(&cluster, &format!("redis://{}/{number}", redis.address()));
    let [first, second] = [0, 1].map(in_database);
    let mut subscription = subscribe(&first).await;
    publish(&second, "of the other").await.unwrap();
    publish(&first, "own").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "own");
}

/// What cannot be is refused when it is built, and shows no credential.
async fn settings_are_checked() {
    let refused = |builder: invalidation_transport_redis::RedisTransportBuilder| {
        let error = builder.build().expect_err("to be refused");
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        error.message.into_owned()
    };
    let to = |url: &str| RedisTransport::builder("c").url(url);
    for (builder, expected) in [
        (RedisTransport::builder("c"), "no server"),
        (RedisTransport::builder("").url("redis://h"), "cluster name"),
        (to("redis://u:secret@h:x"), "redis://USER"),
        (to("redis://u@h"), "no password"),
        (to("redis://h").insecure_tls(), "rediss://"),
        (
            to("redis://h").sentinel_password("secret"),
            "redis-sentinel://",
        ),
        (to("rediss://h").ca_file("/nonexistent"), "/nonexistent"),
        (to("redis://h").buffered(0), "buffered"),
        (
            to("redis://h").publish_timeout(std::time::Duration::ZERO),
            "publish_timeout",
        ),
    ] {
        let message = refused(builder);
        assert!(message.contains(expected), "{message}");
    }
}
