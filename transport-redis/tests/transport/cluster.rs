//! A cluster of three shards.

use std::{net::SocketAddr, time::Duration};

use invalidation_core::ErrorKind;
use invalidation_testbed::{RedisSetup, Server};
use libtest_mimic::Trial;
use redis::Value;
use tokio::time::Instant;

use crate::stage::{
    PATIENCE, blocking, command, common, end_of, eventually, fresh_cluster, hear, node,
    not_subscribed, publish, publish_again, start, subscribe, subscribe_again, trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("frames_go_over_one_shard", frames_go_over_one_shard),
        trial(
            "a_moved_slot_ends_subscriptions",
            a_moved_slot_ends_subscriptions,
        ),
        trial(
            "a_promoted_replica_of_a_shard_serves",
            a_promoted_replica_of_a_shard_serves,
        ),
        trial(
            "a_cluster_is_told_from_a_server",
            a_cluster_is_told_from_a_server,
        ),
    ]
}

struct Shards(Vec<Server>);

impl Shards {
    /// Three nodes that know each other, with a third of the slots each.
    async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(start(setup()).await);
        }
        for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            let line = format!("CLUSTER ADDSLOTSRANGE {slots}");
            command(node.address(), &line).await.unwrap();
        }
        for node in &nodes[1..] {
            meet(node, &nodes[0]).await;
        }
        for node in &nodes {
            eventually(node.address(), "CLUSTER INFO", "cluster_state:ok").await;
            eventually(node.address(), "CLUSTER INFO", "cluster_known_nodes:3").await;
        }
        Self(nodes)
    }

    /// With all, or with so many of them as seeds.
    fn url(&self, seeds: usize) -> String {
        let hosts: Vec<_> = self.0[..seeds]
            .iter()
            .map(|node| node.address().to_string())
            .collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(Server::address).collect()
    }

    /// Which of them owns the channel's slot, and the slot.
    async fn owner(&self, channel: &str) -> (usize, i64) {
        let slot = command(self.0[0].address(), &format!("CLUSTER KEYSLOT {channel}")).await;
        let Ok(Value::Int(slot)) = slot else {
            panic!("expected a slot, and got {slot:?}")
        };
        let owner = match slot {
            ..=5460 => 0,
            5461..=10922 => 1,
            _ => 2,
        };
        (owner, slot)
    }
}

fn setup() -> RedisSetup {
    RedisSetup::new()
        .node()
        .directive("cluster-node-timeout 1500")
}

async fn meet(node: &Server, other: &Server) {
    let (to, bus) = (other.address(), other.second_address());
    let line = format!("CLUSTER MEET {} {} {}", to.ip(), to.port(), bus.port());
    command(node.address(), &line).await.unwrap();
}

async fn id(of: SocketAddr) -> String {
    match command(of, "CLUSTER MYID").await {
        Ok(Value::BulkString(id)) => String::from_utf8(id).unwrap(),
        other => panic!("expected an id, and got {other:?}"),
    }
}

fn channel(cluster: &str) -> String {
    format!("cache_invalidation:{{{cluster}}}")
}

/// Whatever node they were told of, all meet at the one that owns the cluster's channel, and no other carries a frame.
async fn frames_go_over_one_shard() {
    let shards = Shards::start().await;
    for _ in 0..4 {
        let cluster = fresh_cluster();
        let (owner, _) = shards.owner(&channel(&cluster)).await;
        let [first, second] = [1, 3].map(|seeds| node(&cluster, &shards.url(seeds)));
        let mut subscription = subscribe(&first).await;
        for n in 0..10 {
            publish(&second, &n.to_string()).await.unwrap();
            assert_eq!(hear(&mut subscription).await, n.to_string());
        }
        for (n, node) in shards.addresses().into_iter().enumerate() {
            let heard = command(node, "PUBSUB SHARDCHANNELS").await.unwrap();
            let is_there = format!("{heard:?}").contains(&cluster);
            assert_eq!(is_there, n == owner, "node {n} of the owner {owner}");
        }
    }
}

/// The channel's slot is given to another shard: the subscription ends, and the next one and all frames go there.
async fn a_moved_slot_ends_subscriptions() {
    let shards = Shards::start().await;
    let cluster = fresh_cluster();
    let (owner, slot) = shards.owner(&channel(&cluster)).await;
    let [publisher, listener] = [0, 1].map(|_| node(&cluster, &shards.url(3)));
    let mut subscription = subscribe(&listener).await;
    publish(&publisher, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    let addresses = shards.addresses();
    let heir = addresses[(owner + 1) % 3];
    let given = format!("CLUSTER SETSLOT {slot} NODE {}", id(heir).await);
    // First to who takes it, as a tool does that moves slots.
    command(heir, &given).await.unwrap();
    command(addresses[owner], &given).await.unwrap();
    let end = end_of(&mut subscription).await;
    assert!(end.contains("slot has moved"), "{end}");
    let mut subscription = subscribe_again(&listener).await;
    publish_again(&publisher, "after").await;
    assert_eq!(hear(&mut subscription).await, "after");
}

/// The owner of the channel's slot dies, and its replica is promoted.
async fn a_promoted_replica_of_a_shard_serves() {
    let mut shards = Shards::start().await;
    let cluster = fresh_cluster();
    let (owner, _) = shards.owner(&channel(&cluster)).await;
    let replica = start(setup()).await;
    meet(&replica, &shards.0[(owner + 1) % 3]).await;
    let follow = format!("CLUSTER REPLICATE {}", id(shards.0[owner].address()).await);
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = command(replica.address(), &follow).await {
        assert!(Instant::now() < deadline, "expected a replica: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually(
        replica.address(),
        "INFO replication",
        "master_link_status:up",
    )
    .await;
    for node in shards.addresses() {
        eventually(node, "CLUSTER NODES", "slave").await;
    }
    let [publisher, listener] = [0, 1].map(|_| node(&cluster, &shards.url(3)));
    let mut subscription = subscribe(&listener).await;
    publish(&publisher, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    let dead = shards.0.remove(owner);
    let dead = blocking(move || dead.kill().map(|()| dead)).await.unwrap();
    let end = end_of(&mut subscription).await;
    assert!(end.starts_with("end: Unavailable"), "{end}");
    let mut subscription = subscribe_again(&listener).await;
    publish_again(&publisher, "after").await;
    assert_eq!(hear(&mut subscription).await, "after");
    eventually(replica.address(), "ROLE", "master").await;
    drop(dead);
}

/// Who confuses a cluster with a single server is told what to write.
async fn a_cluster_is_told_from_a_server() {
    let lone = start(setup()).await;
    let alone = common().await;
    for (url, expected) in [
        (lone.url(), "redis-cluster://"),
        (format!("redis-cluster://{}", alone.address()), "redis://"),
    ] {
        let refused = not_subscribed(&node(&fresh_cluster(), &url)).await;
        assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
        assert!(refused.message.contains(expected), "{refused}");
    }
    // Nobody serves its slot yet.
    let url = format!("redis-cluster://{}", lone.address());
    let refused = not_subscribed(&node(&fresh_cluster(), &url)).await;
    assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused}");
}
