//! Business data in Redis itself: a write and its invalidation as one step.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use invalidation_core::{ErrorKind, InvalidationLog as _, JoinsLog as _, Node};
use invalidation_testbed::Server;
use invalidation_transport_redis::{RedisLog, RedisWrite};
use libtest_mimic::Trial;
use redis::RedisError;

use super::bed::{Reader, builder, cluster, connection, key, node, own, run, shared, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("writing::both_or_none", own, both_or_none),
        trial("writing::not_on_another_database", shared, |server| {
            not_on_another_database(server.address())
        }),
        trial(
            "writing::not_after_the_log_was_made_anew",
            shared,
            |server| not_after_the_log_was_made_anew(server.address()),
        ),
        trial(
            "writing::a_script_that_fails_half_way_is_told",
            shared,
            |server| a_script_that_fails_half_way_is_told(server.address()),
        ),
        trial("writing::any_client_can_run_it", shared, |server| {
            any_client_can_run_it(server.address())
        }),
        trial("writing::several_joins_are_one_step", shared, |server| {
            several_joins_are_one_step(server.address())
        }),
        trial("writing::a_node_invalidates_with_it", shared, |server| {
            a_node_invalidates_with_it(server.address())
        }),
        trial(
            "writing::two_steps_hold_the_key_meanwhile",
            shared,
            |server| two_steps_hold_the_key_meanwhile(server.address()),
        ),
    ]
}

fn rename(row: &str, name: &str) -> RedisWrite {
    RedisWrite::new("return redis.call('HSET', KEYS[1], 'name', ARGV[1])")
        .key(row)
        .argument(name)
}

async fn joined(log: &RedisLog, row: &str, name: &str) -> RedisWrite {
    let mut write = rename(row, name);
    write.append_in(log, &[key(row)]).await.unwrap();
    write
}

async fn send(to: SocketAddr, write: RedisWrite) -> Result<i64, RedisError> {
    write.run(&mut connection(to).await).await
}

async fn name(to: SocketAddr, row: &str) -> Option<String> {
    run(to, &["HGET", row, "name"]).await
}

/// P2: the row and its entry are there, or neither is: when the server is full, or has too few replicas.
async fn both_or_none(server: Server) {
    let to = server.address();
    let log = node(to, &cluster()).await;
    let mut reader = Reader::cold(&log).await;
    send(to, joined(&log, "row", "Ada").await).await.unwrap();
    assert_eq!(reader.read().await, Ok(vec!["row".to_owned()]));
    assert_eq!(name(to, "row").await.as_deref(), Some("Ada"));
    for (setting, breaks, mends, code) in [
        ("maxmemory", "1", "0", "OOM"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
    ] {
        let write = joined(&log, "row", "Grace").await;
        let () = run(to, &["CONFIG", "SET", setting, breaks]).await;
        let refused = send(to, write).await.unwrap_err();
        assert_eq!(refused.code(), Some(code));
        assert_eq!(name(to, "row").await.as_deref(), Some("Ada"));
        let () = run(to, &["CONFIG", "SET", setting, mends]).await;
        assert_eq!(reader.read().await, Ok(Vec::new()));
    }
}

/// P2: on another database than the log's nothing is written.
async fn not_on_another_database(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let mut reader = Reader::cold(&log).await;
    let write = joined(&log, "elsewhere", "Ada").await;
    let mut other = connection(to).await;
    let () = redis::cmd("SELECT")
        .arg(5)
        .query_async(&mut other)
        .await
        .unwrap();
    let refused = write.run::<i64, _>(&mut other).await.unwrap_err();
    assert_eq!(refused.code(), Some("NOLOG"));
    let exists: u64 = redis::cmd("DBSIZE").query_async(&mut other).await.unwrap();
    assert_eq!(exists, 0);
    assert_eq!(reader.read().await, Ok(Vec::new()));
    // Another log's place in the same database is no better.
    let another = node(to, &cluster()).await;
    let mut twice = joined(&log, "twice", "Ada").await;
    let refused = twice.append_in(&another, &[key("1")]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
}

/// P2: one that joined before the log was deleted writes nothing; one that begins anew does.
async fn not_after_the_log_was_made_anew(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let write = joined(&log, "anew", "Ada").await;
    let _: u64 = run(to, &["DEL", log.key()]).await;
    let refused = send(to, write.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Some("NOLOG"));
    log.install().await.unwrap();
    let refused = send(to, write).await.unwrap_err();
    assert_eq!(refused.code(), Some("NOLOG"));
    assert_eq!(name(to, "anew").await, None);
    let mut reader = Reader::cold(&log).await;
    send(to, joined(&log, "anew", "Ada").await).await.unwrap();
    assert_eq!(reader.read().await, Ok(vec!["anew".to_owned()]));
}

/// P1: whatever a script had written before it failed is invalidated.
async fn a_script_that_fails_half_way_is_told(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let mut reader = Reader::cold(&log).await;
    let script = "redis.call('HSET', KEYS[1], 'name', 'half')
                  return redis.call('LPUSH', KEYS[1], 'x')";
    let mut write = RedisWrite::new(script).key("half");
    write.append_in(&log, &[key("half")]).await.unwrap();
    send(to, write).await.unwrap_err();
    assert_eq!(name(to, "half").await.as_deref(), Some("half"));
    assert_eq!(reader.read().await, Ok(vec!["half".to_owned()]));
}

/// The script, its keys and its arguments serve a client that knows nothing of this crate.
async fn any_client_can_run_it(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let mut reader = Reader::cold(&log).await;
    let write = joined(&log, "any", "Ada").await;
    let (keys, arguments) = (write.keys(), write.arguments());
    let mut command = redis::cmd("EVAL");
    command
        .arg(write.script())
        .arg(keys.len())
        .arg(keys)
        .arg(arguments);
    let new: u64 = command
        .query_async(&mut connection(to).await)
        .await
        .unwrap();
    assert_eq!(new, 1);
    assert_eq!(reader.read().await, Ok(vec!["any".to_owned()]));
    // Without a join it is the caller's script alone.
    assert_eq!(send(to, rename("any", "Grace")).await.unwrap(), 0);
    assert_eq!(reader.read().await, Ok(Vec::new()));
}

/// Entries that join one after the other are appended in that order.
async fn several_joins_are_one_step(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let mut reader = Reader::cold(&log).await;
    let mut write = joined(&log, "several", "Ada").await;
    write.append_in(&log, &[key("2"), key("3")]).await.unwrap();
    send(to, write).await.unwrap();
    let read = reader.read().await.unwrap();
    assert_eq!(read, ["several", "2", "3"]);
}

async fn started(to: SocketAddr, cluster: &str) -> (Node, Arc<RedisLog>) {
    let log = Arc::new(builder(to, cluster).connect().await.unwrap());
    let node = Node::builder("billing")
        .shared_log(log.clone())
        .start()
        .await
        .unwrap();
    (node, log)
}

/// P1, P2, P6: a node's cache drops the row with the write, another's with its next poll.
async fn a_node_invalidates_with_it(to: SocketAddr) {
    let cluster = cluster();
    let row = format!("user:{{{cluster}}}");
    let ((own, _log), (other, _)) = (started(to, &cluster).await, started(to, &cluster).await);
    let cache = |node: &Node| {
        node.cache::<String, Option<String>>("users")
            .build()
            .unwrap()
    };
    let (here, there) = (cache(&own), cache(&other));
    let load = || async { Ok::<_, RedisError>(name(to, &row).await) };
    send(to, rename(&row, "Ada")).await.unwrap();
    for cache in [&here, &there] {
        let found = cache.get_or_load(&row, load).await.unwrap();
        assert_eq!(found.as_deref(), Some("Ada"));
    }
    let mut write = rename(&row, "Grace");
    let pending = own
        .changes()
        .keys(&here, [&row])
        .log_in(&mut write)
        .await
        .unwrap();
    pending
        .commit(write.run::<i64, _>(&mut connection(to).await))
        .await
        .unwrap();
    let found = here.get_or_load(&row, load).await.unwrap();
    assert_eq!(found.as_deref(), Some("Grace"));
    super::bed::until("the other node reads it", || async {
        let found = there.get_or_load(&row, load).await.unwrap();
        (found.as_deref() == Some("Grace")).then_some(())
    })
    .await;
}

/// P2, weakened: with business data elsewhere the entry is appended after the commit; nothing that is loaded between is
/// kept on this node, and what comes after it is new everywhere.
async fn two_steps_hold_the_key_meanwhile(to: SocketAddr) {
    let cluster = cluster();
    let (own, log) = started(to, &cluster).await;
    let mut reader = Reader::cold(&log).await;
    let cache = own.cache::<String, String>("users").build().unwrap();
    let row = "1".to_owned();
    let value = Arc::new(parking_lot::Mutex::new("old"));
    let load = || async { Ok::<_, RedisError>(value.lock().to_string()) };
    assert_eq!(cache.get_or_load(&row, load).await.unwrap(), "old");
    let mut append = RedisWrite::append_only();
    let pending = own
        .changes()
        .keys(&cache, [&row])
        .log_in(&mut append)
        .await
        .unwrap();
    pending
        .commit(async {
            // Its transaction on another database commits here.
            *value.lock() = "new";
            assert_eq!(cache.get_or_load(&row, load).await.unwrap(), "old");
            assert_eq!(reader.read().await, Ok(Vec::new()));
            append.run::<(), _>(&mut connection(to).await).await
        })
        .await
        .unwrap();
    assert_eq!(cache.get_or_load(&row, load).await.unwrap(), "new");
    assert_eq!(reader.read().await, Ok(vec![row]));
    drop(own);
    tokio::time::sleep(Duration::ZERO).await;
}
