//! Logs that are reached by Sentinels, and in a cluster.

use std::time::Duration;

use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _};
use invalidation_testbed::{Error as Broken, RedisSetup, Server};
use invalidation_transport_redis::{RedisLog, RedisWrite};
use libtest_mimic::Trial;

use super::bed::{
    PATIENCE, Reader, append, appends_again, builder, cluster, key, own, run, trial, until,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "arrangements::sentinels_lead_to_the_new_primary",
            watched,
            sentinels_lead,
        ),
        trial(
            "arrangements::a_slot_that_moved_is_told",
            nodes,
            a_slot_that_moved_is_told,
        ),
    ]
}

struct Watched {
    primary: Server,
    replica: Server,
    sentinel: Server,
}

fn watched() -> Result<Watched, Broken> {
    let primary = own()?;
    let replica = RedisSetup::new().replica_of(primary.address()).start()?;
    let sentinel = RedisSetup::new()
        .sentinel("billing", primary.address(), 1)
        .directive("sentinel down-after-milliseconds billing 300")
        .directive("sentinel failover-timeout billing 2000")
        .start()?;
    Ok(Watched {
        primary,
        replica,
        sentinel,
    })
}

/// P1, P10: after a failover by Sentinel the log goes on where they say, and everybody is told.
async fn sentinels_lead(servers: Watched) {
    let to = servers.sentinel.address();
    let log = RedisLog::builder(&format!("redis-sentinel://{to}/billing"))
        .cluster(cluster())
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
        .connect()
        .await
        .unwrap();
    log.install().await.unwrap();
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    append(&log, &["2"]).await;
    assert_eq!(reader.read().await, Ok(vec!["2".to_owned()]));
    until("the Sentinel knows the replica", || async {
        let info: String = run(to, &["INFO", "sentinel"]).await;
        info.contains("slaves=1").then_some(())
    })
    .await;
    servers.primary.kill().unwrap();
    appends_again(&log).await.unwrap();
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    reader.goes_on().await;
    let length: u64 = run(servers.replica.address(), &["XLEN", log.key()]).await;
    assert!(length >= 2);
}

/// Two nodes; all slots belong to the first.
fn nodes() -> Result<[Server; 2], Broken> {
    let node = || RedisSetup::new().node().start();
    Ok([node()?, node()?])
}

/// P10: a slot that moved to another node is a log on another server.
async fn a_slot_that_moved_is_told([first, second]: [Server; 2]) {
    let (a, b) = (first.address(), second.address());
    let () = run(a, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let (port, bus) = (
        b.port().to_string(),
        second.second_address().port().to_string(),
    );
    let () = run(a, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
    for node in [a, b] {
        until("both nodes are up", || async {
            let info: String = run(node, &["CLUSTER", "INFO"]).await;
            let both = info.contains("cluster_state:ok") && info.contains("known_nodes:2");
            both.then_some(())
        })
        .await;
    }
    let cluster = cluster();
    let log = RedisLog::builder(&format!("redis-cluster://{b},{a}"))
        .cluster(&cluster)
        .read_timeout(Duration::from_secs(5))
        .write_timeout(Duration::from_secs(5))
        .connect()
        .await
        .unwrap();
    log.install().await.unwrap();
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    append(&log, &["2"]).await;
    assert_eq!(reader.read().await, Ok(vec!["2".to_owned()]));
    // A node of a cluster that is taken for a server of its own is refused.
    let refused = builder(a, &cluster).connect().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);

    // Business data and log in one slot, one step.
    let mut write = RedisWrite::new("return redis.call('SET', KEYS[1], ARGV[1])")
        .key(format!("user:{{{cluster}}}:1"))
        .argument("Ada");
    invalidation_core::JoinsLog::append_in(&mut write, &log, &[key("3")])
        .await
        .unwrap();
    let () = write
        .run(&mut super::bed::connection(a).await)
        .await
        .unwrap();
    assert_eq!(reader.read().await, Ok(vec!["3".to_owned()]));

    let slot: u64 = run(a, &["CLUSTER", "KEYSLOT", log.key()]).await;
    let slot = slot.to_string();
    let id = async |node| -> String { run(node, &["CLUSTER", "MYID"]).await };
    let (from, into) = (id(a).await, id(b).await);
    let () = run(b, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]).await;
    let () = run(a, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &into]).await;
    let keys: Vec<String> = run(a, &["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).await;
    let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    command.extend(keys.iter().map(String::as_str));
    let _: String = run(a, &command).await;
    // Between: neither node says that there is no log.
    let between = log.append(&[key("between")]).await.unwrap_err();
    assert_eq!(between.kind, ErrorKind::Unavailable);
    for node in [b, a] {
        let () = run(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &into]).await;
    }
    appends_again(&log).await.unwrap();
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    reader.goes_on().await;
    let length: u64 = run(b, &["XLEN", log.key()]).await;
    assert_eq!(length, 5);
}
