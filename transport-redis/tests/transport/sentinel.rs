//! A primary that Sentinels know.

use std::{net::SocketAddr, time::Duration};

use invalidation_core::ErrorKind;
use invalidation_testbed::{Proxy, RedisSetup, Server};
use libtest_mimic::Trial;

use crate::stage::{
    blocking, builder, command, end_of, eventually, fresh_cluster, hear, node, not_subscribed,
    publish, publish_again, start, subscribe, subscribe_again, trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("nodes_follow_a_failover", nodes_follow_a_failover),
        trial(
            "frames_and_subscriptions_share_a_primary",
            frames_and_subscriptions_share_a_primary,
        ),
        trial("a_sentinel_alone_is_outvoted", a_sentinel_alone_is_outvoted),
        trial(
            "sentinels_may_ask_for_a_password",
            sentinels_may_ask_for_a_password,
        ),
        trial(
            "a_sentinel_is_told_from_a_server",
            a_sentinel_is_told_from_a_server,
        ),
    ]
}

async fn sentinel(primary: SocketAddr, quorum: usize) -> Server {
    let setup = RedisSetup::new()
        .sentinel("main", primary, quorum)
        .directive("sentinel down-after-milliseconds main 500")
        .directive("sentinel failover-timeout main 5000");
    start(setup).await
}

fn url(sentinels: &[Server]) -> String {
    let hosts: Vec<_> = sentinels
        .iter()
        .map(|sentinel| sentinel.address().to_string())
        .collect();
    format!("redis-sentinel://{}/main", hosts.join(","))
}

/// The primary dies, and the Sentinels promote its replica: subscriptions end, those that follow are live there, and
/// frames go there. One of the Sentinels is silent.
async fn nodes_follow_a_failover() {
    let primary = start(RedisSetup::new()).await;
    let replica = start(RedisSetup::new().replica_of(primary.address())).await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(sentinel(primary.address(), 2).await);
    }
    let cluster = fresh_cluster();
    let url = url(&sentinels);
    let (publisher, listener) = (node(&cluster, &url), node(&cluster, &url));
    let mut subscription = subscribe(&listener).await;
    publish(&publisher, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    for sentinel in &sentinels {
        let to = sentinel.address();
        eventually(to, "INFO sentinel", "slaves=1,sentinels=3").await;
    }
    let sentinels = blocking(move || {
        sentinels[0].pause().unwrap();
        primary.kill().unwrap();
        (sentinels, primary)
    })
    .await;
    let end = end_of(&mut subscription).await;
    assert!(end.starts_with("end: Unavailable"), "{end}");
    let mut subscription = subscribe_again(&listener).await;
    eventually(replica.address(), "ROLE", "master").await;
    publish_again(&publisher, "after").await;
    assert_eq!(hear(&mut subscription).await, "after");
    drop(sentinels);
}

/// Two servers that both believe to be the primary: once either a subscription or a frame finds the other one, both of a node
/// are there.
async fn frames_and_subscriptions_share_a_primary() {
    let servers = [
        start(RedisSetup::new()).await,
        start(RedisSetup::new()).await,
    ];
    let [old, new] = servers.each_ref().map(Server::address);
    let sentinel = sentinel(old, 1).await;
    let cluster = fresh_cluster();
    let url = url(std::slice::from_ref(&sentinel));
    let [first, second] = [0, 1].map(|_| node(&cluster, &url));
    let mut abandoned = subscribe(&first).await;
    for node in [&first, &second] {
        publish(node, "before").await.unwrap();
        assert_eq!(hear(&mut abandoned).await, "before");
    }
    command(sentinel.address(), "SENTINEL REMOVE main")
        .await
        .unwrap();
    let monitor = format!("SENTINEL MONITOR main {} {} 1", new.ip(), new.port());
    command(sentinel.address(), &monitor).await.unwrap();
    // A subscription finds it, and takes the frames with it.
    let mut there = subscribe(&second).await;
    publish(&second, "to the new one").await.unwrap();
    assert_eq!(hear(&mut there).await, "to the new one");
    // A frame finds it, and ends the subscription.
    command(old, "CLIENT KILL TYPE normal").await.unwrap();
    publish_again(&first, "there as well").await;
    assert_eq!(hear(&mut there).await, "there as well");
    let end = end_of(&mut abandoned).await;
    assert!(end.contains("another server has become"), "{end}");
    drop(servers);
}

/// A Sentinel that was cut off still names the old primary, and answers before the others do.
async fn a_sentinel_alone_is_outvoted() {
    let [old, new] = [
        start(RedisSetup::new()).await,
        start(RedisSetup::new()).await,
    ];
    let alone = sentinel(old.address(), 1).await;
    let others = [
        sentinel(new.address(), 1).await,
        sentinel(new.address(), 1).await,
    ];
    let ways = others
        .each_ref()
        .map(|other| Proxy::to(other.address()).unwrap());
    for way in &ways {
        way.delay(Duration::from_millis(200));
    }
    let [one, another] = ways.each_ref().map(Proxy::address);
    let cluster = fresh_cluster();
    let outvoted = format!("redis-sentinel://{},{one},{another}/main", alone.address());
    let listener = node(&cluster, &new.url());
    let mut there = subscribe(&listener).await;
    publish(&node(&cluster, &outvoted), "to the new one")
        .await
        .unwrap();
    assert_eq!(hear(&mut there).await, "to the new one");
}

/// The Sentinels' credentials are their own.
async fn sentinels_may_ask_for_a_password() {
    let primary = start(RedisSetup::new()).await;
    let sentinel = sentinel(primary.address(), 1).await;
    command(sentinel.address(), "ACL SETUSER watcher on >secret +@all")
        .await
        .unwrap();
    command(sentinel.address(), "ACL SETUSER default off")
        .await
        .unwrap();
    let cluster = fresh_cluster();
    let url = url(std::slice::from_ref(&sentinel));
    let refused = not_subscribed(&node(&cluster, &url)).await;
    assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    let node = builder(&cluster, &url)
        .sentinel_user("watcher")
        .sentinel_password("secret");
    publish(&node.build().unwrap(), "x").await.unwrap();
}

/// Who confuses a Sentinel with what it watches, or asks for a service that is not there, is told what to write.
async fn a_sentinel_is_told_from_a_server() {
    let primary = start(RedisSetup::new()).await;
    let sentinel = sentinel(primary.address(), 1).await;
    let cluster = fresh_cluster();
    for (url, kind, expected) in [
        (
            format!("redis://{}", sentinel.address()),
            ErrorKind::Invalid,
            "redis-sentinel://",
        ),
        (
            format!("redis-cluster://{}", sentinel.address()),
            ErrorKind::Invalid,
            "redis-sentinel://",
        ),
        (
            format!("redis-sentinel://{}/main", primary.address()),
            ErrorKind::Invalid,
            "redis://",
        ),
        (
            format!("redis-sentinel://{}/nothing", sentinel.address()),
            ErrorKind::Unavailable,
            "nothing",
        ),
    ] {
        let node = builder(&cluster, &url).publish_timeout(Duration::from_secs(20));
        let refused = not_subscribed(&node.build().unwrap()).await;
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.message.contains(expected), "{refused}");
    }
}
