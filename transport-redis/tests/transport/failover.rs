//! A server that is a replica, or was made one.

use std::time::Duration;

use invalidation_core::{CacheInvalidationTransport as _, Error, ErrorKind};
use invalidation_testbed::{Proxy, RedisSetup, Server};
use invalidation_transport_redis::RedisTransport;
use libtest_mimic::Trial;

use crate::stage::{
    blocking, builder, command, common, end_of, eventually, fresh_cluster, hear, node,
    not_subscribed, publish, publish_again, start, subscribe, trial, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_replica_is_refused", a_replica_is_refused),
        trial(
            "a_demoted_primary_takes_no_frame",
            a_demoted_primary_takes_no_frame,
        ),
        trial(
            "a_demoted_primary_ends_subscriptions",
            a_demoted_primary_ends_subscriptions,
        ),
        trial(
            "a_name_that_follows_the_primary_serves",
            a_name_that_follows_the_primary_serves,
        ),
        trial("frames_leave_a_silent_server", frames_leave_a_silent_server),
        trial("frames_follow_a_subscription", frames_follow_a_subscription),
    ]
}

fn says_replica(error: &Error) {
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("is a replica"), "{error}");
    assert!(error.message.contains("redis-sentinel://"), "{error}");
}

/// A replica takes `PUBLISH` for its own subscribers alone, and `SUBSCRIBE` as well: both are refused here, with what to
/// set.
async fn a_replica_is_refused() {
    let primary = common().await;
    let replica = start(RedisSetup::new().replica_of(primary.address())).await;
    let node = node(&fresh_cluster(), &replica.url());
    says_replica(&publish(&node, "x").await.unwrap_err());
    says_replica(&not_subscribed(&node).await);
    says_replica(&within("probe", node.probe()).await.unwrap_err());
}

/// What is published over a connection that was made before its server became a replica is not said to be sent: nobody
/// else would hear it. Nobody ends that connection.
async fn a_demoted_primary_takes_no_frame() {
    let redis = start(RedisSetup::new()).await;
    let node = node(&fresh_cluster(), &redis.url());
    publish(&node, "before").await.unwrap();
    let other = common().await.address();
    let follow = format!("REPLICAOF {} {}", other.ip(), other.port());
    command(redis.address(), &follow).await.unwrap();
    says_replica(&publish(&node, "lost").await.unwrap_err());
    command(redis.address(), "REPLICAOF NO ONE").await.unwrap();
    publish(&node, "after").await.unwrap();
}

/// A subscriber of a server that became a replica is told so in time, though its connection stays.
async fn a_demoted_primary_ends_subscriptions() {
    let redis = start(RedisSetup::new()).await;
    let builder = builder(&fresh_cluster(), &redis.url());
    let node = builder
        .notices_loss_within(Duration::from_secs(1))
        .build()
        .unwrap();
    let mut subscription = subscribe(&node).await;
    let other = common().await.address();
    let follow = format!("REPLICAOF {} {}", other.ip(), other.port());
    command(redis.address(), &follow).await.unwrap();
    let end = end_of(&mut subscription).await;
    assert!(end.contains("is a replica"), "{end}");
}

/// A host's name that is led to the promoted replica: nodes that connect again find it there.
async fn a_name_that_follows_the_primary_serves() {
    let primary = start(RedisSetup::new()).await;
    let replica = start(RedisSetup::new().replica_of(primary.address())).await;
    let name = Proxy::to(primary.address()).unwrap();
    let cluster = fresh_cluster();
    let url = format!("redis://{}", name.address());
    let (publisher, listener) = (node(&cluster, &url), node(&cluster, &url));
    let mut subscription = subscribe(&listener).await;
    publish(&publisher, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    let primary = blocking(move || primary.kill().map(|()| primary))
        .await
        .unwrap();
    end_of(&mut subscription).await;
    command(replica.address(), "REPLICAOF NO ONE")
        .await
        .unwrap();
    eventually(replica.address(), "ROLE", "master").await;
    name.lead_to(replica.address());
    let mut subscription = subscribe(&listener).await;
    // Its connection went with the old primary.
    publish_again(&publisher, "after").await;
    assert_eq!(hear(&mut subscription).await, "after");
    drop(primary);
}

/// A server that stopped answering, and another one to which its name leads since: connections that were made stay silent.
struct Silent {
    name: Proxy,
    servers: [Server; 2],
}

impl Silent {
    async fn start() -> Self {
        let servers = [
            start(RedisSetup::new()).await,
            start(RedisSetup::new()).await,
        ];
        let name = Proxy::to(servers[0].address()).unwrap();
        Self { name, servers }
    }

    fn node(&self) -> RedisTransport {
        let url = format!("redis://{}", self.name.address());
        let builder = builder(&fresh_cluster(), &url).publish_timeout(Duration::from_secs(3));
        builder.build().unwrap()
    }

    async fn falls_silent(self) -> Self {
        blocking(move || {
            self.servers[0].pause().unwrap();
            self.name.lead_to(self.servers[1].address());
            self
        })
        .await
    }
}

/// One frame may wait in vain for the old server's answer, and the next goes to the new one.
async fn frames_leave_a_silent_server() {
    let silent = Silent::start().await;
    let node = silent.node();
    publish(&node, "before").await.unwrap();
    let silent = silent.falls_silent().await;
    let waited = publish(&node, "in vain").await.unwrap_err();
    assert_eq!(waited.kind, ErrorKind::TimedOut, "{waited}");
    publish(&node, "after").await.unwrap();
    drop(silent);
}

/// A node that has subscribed again does not try the old connection with a frame.
async fn frames_follow_a_subscription() {
    let silent = Silent::start().await;
    let node = silent.node();
    publish(&node, "before").await.unwrap();
    let silent = silent.falls_silent().await;
    let mut subscription = subscribe(&node).await;
    publish(&node, "after").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "after");
    drop(silent);
}
