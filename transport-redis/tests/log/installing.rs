//! What stands under the log's key, and how the server is set.

use std::net::SocketAddr;

use invalidation_core::{ErrorKind, GapReason, InvalidationLog as _};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use super::bed::{Reader, append, builder, cluster, key, node, own, run, shared, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("installing::a_newer_log_is_left_alone", shared, |server| {
            a_newer_log_is_left_alone(server.address())
        }),
        trial("installing::another_type_is_left_alone", shared, |server| {
            another_type_is_left_alone(server.address())
        }),
        trial(
            "installing::a_stream_without_a_mark_gets_one",
            shared,
            |server| a_stream_without_a_mark_gets_one(server.address()),
        ),
        trial(
            "installing::an_evicting_server_is_refused",
            own,
            an_evicting_server_is_refused,
        ),
    ]
}

/// Every call on something that is no log of this version fails as incompatible, says so, and changes nothing.
async fn is_left_alone(to: SocketAddr, cluster: &str, says: &str) {
    let log = builder(to, cluster).connect().await.unwrap();
    let before: Vec<u8> = run(to, &["DUMP", log.key()]).await;
    let errors = [
        log.install().await.err(),
        log.head().await.err(),
        log.append(&[key("1")]).await.err(),
        log.purge(std::time::Duration::ZERO).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.kind, ErrorKind::Incompatible, "{error}");
        assert!(error.message.contains(says), "{error}");
    }
    let after: Vec<u8> = run(to, &["DUMP", log.key()]).await;
    assert_eq!(before, after);
}

/// A newer program's log is neither read nor written.
async fn a_newer_log_is_left_alone(to: SocketAddr) {
    let cluster = cluster();
    let name = format!("cache_invalidation:{{{cluster}}}:log");
    let mark = format!("invalidation-log:2:{}", "0".repeat(32));
    let () = run(to, &["XGROUP", "CREATE", &name, &mark, "0", "MKSTREAM"]).await;
    is_left_alone(to, &cluster, "update").await;
}

/// Something else under the log's name is not taken for a log, nor trimmed as one.
async fn another_type_is_left_alone(to: SocketAddr) {
    let name = |cluster: &str| format!("cache_invalidation:{{{cluster}}}:log");
    let text = cluster();
    let () = run(to, &["SET", &name(&text), "x"]).await;
    is_left_alone(to, &text, "string").await;
    let stream = cluster();
    let _: String = run(to, &["XADD", &name(&stream), "*", "order", "7"]).await;
    is_left_alone(to, &stream, "something else").await;
}

/// P10: a stream whose mark was destroyed by hand is a log again, and another one.
async fn a_stream_without_a_mark_gets_one(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    let groups: Vec<std::collections::HashMap<String, redis::Value>> =
        run(to, &["XINFO", "GROUPS", log.key()]).await;
    assert_eq!(groups.len(), 1);
    let name: String = redis::from_redis_value(groups[0]["name"].clone()).unwrap();
    let _: u64 = run(to, &["XGROUP", "DESTROY", log.key(), &name]).await;
    append(&log, &["2"]).await;
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    reader.goes_on().await;
}

/// A server that may evict the log is refused with what to set, unless the operator accepts it.
async fn an_evicting_server_is_refused(server: Server) {
    let to = server.address();
    let set = async |name: &str, value: &str| {
        let () = run(to, &["CONFIG", "SET", name, value]).await;
    };
    let cluster = cluster();
    set("maxmemory", "1gb").await;
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        set("maxmemory-policy", policy).await;
        let log = builder(to, &cluster).connect().await.unwrap();
        let refused = log.install().await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid);
        assert!(refused.message.contains("noeviction"), "{refused}");
        assert!(refused.message.contains(policy), "{refused}");
        let allowed = builder(to, &cluster).allow_eviction();
        allowed.connect().await.unwrap().install().await.unwrap();
    }
    for policy in ["noeviction", "volatile-lru"] {
        set("maxmemory-policy", policy).await;
        node(to, &cluster).await;
    }
    set("maxmemory-policy", "allkeys-lru").await;
    set("maxmemory", "0").await;
    node(to, &cluster).await;
}
