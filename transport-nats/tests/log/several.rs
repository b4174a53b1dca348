//! A stream with three replicas.

use std::time::Duration;

use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _, ReadConsistency, Retry};
use invalidation_testbed::{Error, Server};
use invalidation_transport_nats::{NatsLog, NatsLogBuilder, Storage};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    jetstream::{PASSWORD, USER},
    stage::{CLUSTER, Reader, append, eventually, key, operator, trial_of},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_of("another_takes_over", three, another_takes_over),
        trial_of(
            "without_a_majority_nothing_is_acknowledged",
            three,
            without_a_majority_nothing_is_acknowledged,
        ),
        trial_of(
            "a_stream_in_memory_that_came_back_empty_is_told",
            three,
            a_stream_in_memory_that_came_back_empty_is_told,
        ),
        trial_of(
            "servers_of_a_cluster_are_never_apart",
            three,
            servers_of_a_cluster_are_never_apart,
        ),
    ]
}

fn three() -> Result<Vec<Server>, Error> {
    Server::nats_cluster(3, &["--user", USER, "--pass", PASSWORD])
}

/// Installed, once the cluster has found together.
async fn log(servers: &[Server]) -> NatsLog {
    log_of(servers, |builder| builder.replicas(3)).await
}

async fn log_of(servers: &[Server], set: fn(NatsLogBuilder) -> NatsLogBuilder) -> NatsLog {
    let hosts: Vec<_> = servers
        .iter()
        .map(|server| server.address().to_string())
        .collect();
    let builder = NatsLog::builder(&format!("nats://{USER}:{PASSWORD}@{}", hosts.join(",")))
        .cluster(CLUSTER)
        .read_timeout(Duration::from_secs(3))
        .write_timeout(Duration::from_secs(5));
    let log = set(builder).connect().await.unwrap();
    eventually("the stream is made", async || match log.install().await {
        Ok(()) => Some(()),
        Err(e) => {
            assert_ne!(e.retry, Retry::Permanent, "{e}");
            None
        }
    })
    .await;
    log
}

/// Which server leads the stream.
async fn leader(servers: &[Server]) -> usize {
    let operator = operator(&servers[0]).await;
    let info = operator.info().await;
    let leader = info["cluster"]["leader"].as_str().unwrap().to_owned();
    leader.strip_prefix('n').unwrap().parse().unwrap()
}

/// P1, P10: what was acknowledged outlives the leader, and cursors go on.
async fn another_takes_over(servers: Vec<Server>) {
    let log = log(&servers).await;
    assert_eq!(log.capabilities().reads, ReadConsistency::MayBeStale);
    assert_eq!(log.stream_settings().await.unwrap().replicas, 3);
    let mut behind = Reader::at_head(&log).await;
    let before = append(&log, &["1", "2", "3"]).await;
    let mut ahead = Reader::at_head(&log).await;
    let leader = leader(&servers).await;
    servers[leader].kill().unwrap();
    let after = key("after");
    eventually("another takes over", async || {
        log.append(std::slice::from_ref(&after)).await.ok()
    })
    .await;
    eventually("it is read", async || log.head().await.ok()).await;
    // Appends whose acknowledgement was lost may have been stored as well.
    let all = [&before[..], std::slice::from_ref(&after)].concat();
    for (reader, expected) in [(&mut behind, &all[..]), (&mut ahead, &all[3..])] {
        let mut found = reader.catch_up(&log).await.unwrap();
        found.dedup();
        assert_eq!(found, expected);
    }
}

/// P2: one server of three acknowledges nothing.
async fn without_a_majority_nothing_is_acknowledged(servers: Vec<Server>) {
    let log = log(&servers).await;
    append(&log, &["1"]).await;
    let leader = leader(&servers).await;
    for (at, server) in servers.iter().enumerate() {
        if at != leader {
            server.kill().unwrap();
        }
    }
    let refused = log.append(&[key("2")]).await.unwrap_err();
    let is_told = matches!(refused.kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
    assert!(is_told, "{refused}");
    for (at, server) in servers.iter().enumerate() {
        if at != leader {
            server.restart().unwrap();
        }
    }
    eventually("appends again", async || log.append(&[key("3")]).await.ok()).await;
}

/// P10: a cluster remembers when a stream was made whose one server, and with it the stream's memory, ended. A cursor from
/// before the first entry tells it all the same.
async fn a_stream_in_memory_that_came_back_empty_is_told(servers: Vec<Server>) {
    let log = log_of(&servers, |builder| builder.storage(Storage::Memory)).await;
    let mut reader = Reader::at_head(&log).await;
    append(&log, &["lost"]).await;
    let leader = leader(&servers).await;
    let elsewhere = operator(&servers[(leader + 1) % servers.len()]).await;
    let made = elsewhere.info().await["created"].take();
    servers[leader].kill().unwrap();
    servers[leader].restart().unwrap();
    let after = key("after");
    eventually("appends again", async || {
        log.append(std::slice::from_ref(&after)).await.ok()
    })
    .await;
    assert_eq!(elsewhere.info().await["created"], made);
    assert_eq!(reader.catch_up(&log).await, Err(GapReason::WitnessLost));
}

/// P20: whoever leads, and whoever is away or comes back, the servers of a cluster are one. What else fails meanwhile may be
/// tried again.
async fn servers_of_a_cluster_are_never_apart(servers: Vec<Server>) {
    let log = log(&servers).await;
    let hour = Duration::from_secs(3_600);
    let looks = async || match log.purge(hour).await {
        Ok(_) => Some(()),
        Err(e) => {
            assert_eq!(e.retry, Retry::Temporary, "{e}");
            None
        }
    };
    for _ in 0..2 {
        let operator = operator(&servers[0]).await;
        operator.ask("LEADER.STEPDOWN", json!({})).await;
        for _ in 0..3 {
            looks().await;
        }
    }
    eventually("all can be asked", looks).await;
    let leader = leader(&servers).await;
    servers[leader].kill().unwrap();
    looks().await;
    servers[leader].restart().unwrap();
    looks().await;
    eventually("all can be asked", looks).await;
}
