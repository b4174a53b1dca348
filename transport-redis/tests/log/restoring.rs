//! The log's key put back to an older state while the server runs, which changes nothing else.

use std::{net::SocketAddr, time::Duration};

use invalidation_core::{GapReason, InvalidationLog as _};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use super::bed::{
    Reader, append, builder, cluster, connection, node, own, request, run, shared, trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "restoring::a_clock_that_was_set_back_is_no_restore",
            shared,
            |server| a_clock_that_was_set_back_is_no_restore(server.address()),
        ),
        trial("restoring::one_who_was_ahead_is_told", shared, |server| {
            one_who_was_ahead_is_told(server.address())
        }),
        trial("restoring::a_read_tells_the_others", shared, |server| {
            a_node_tells_the_others(server.address(), Tells::ByReading)
        }),
        trial("restoring::an_append_tells_the_others", shared, |server| {
            a_node_tells_the_others(server.address(), Tells::ByAppending)
        }),
        trial(
            "restoring::a_fault_that_passes_hides_nothing",
            own,
            a_fault_that_passes_hides_nothing,
        ),
        trial(
            "restoring::one_who_may_not_write_is_told",
            shared,
            |server| one_who_may_not_write_is_told(server.address()),
        ),
        trial(
            "restoring::an_epoch_that_comes_back_is_told",
            shared,
            |server| an_epoch_that_comes_back_is_told(server.address()),
        ),
        trial("restoring::ids_used_again_are_told", shared, |server| {
            ids_used_again_are_told(server.address())
        }),
        trial(
            "restoring::a_file_that_was_appended_is_told",
            aof,
            a_file_that_was_appended_is_told,
        ),
    ]
}

fn aof() -> Result<Server, invalidation_testbed::Error> {
    invalidation_testbed::RedisSetup::new()
        .directive("appendonly yes")
        .directive("appendfsync always")
        .start()
}

async fn dump(to: SocketAddr, key: &str) -> Vec<u8> {
    run(to, &["DUMP", key]).await
}

async fn restore(to: SocketAddr, key: &str, dump: &[u8]) {
    let mut command = redis::cmd("RESTORE");
    command.arg(key).arg(0).arg(dump).arg("REPLACE");
    let () = command
        .query_async(&mut connection(to).await)
        .await
        .unwrap();
}

/// P10: one who had read what is gone is told, whether its ids have been used again or not.
async fn one_who_was_ahead_is_told(to: SocketAddr) {
    for again in [&[][..], &["3"], &["3", "4"], &["3", "4", "5"]] {
        let cluster = cluster();
        let writer = node(to, &cluster).await;
        append(&writer, &["1", "2"]).await;
        let dump = dump(to, writer.key()).await;
        append(&writer, &["3", "4"]).await;
        let cursor = writer.head().await.unwrap();
        restore(to, writer.key(), &dump).await;
        // Who knows nothing of what is gone.
        let later = node(to, &cluster).await;
        append(&later, again).await;
        let mut ahead = Reader {
            log: &later,
            cursor,
        };
        assert_eq!(ahead.read().await, Err(GapReason::WitnessLost), "{again:?}");
        ahead.goes_on().await;
    }
}

/// With what a node tells the others.
#[derive(Clone, Copy)]
pub(crate) enum Tells {
    ByReading,
    ByAppending,
}

/// P1: one who had not read what is gone is told as well, by the node that knows of it.
async fn a_node_tells_the_others(to: SocketAddr, tells: Tells) {
    let cluster = cluster();
    let (writer, other) = (node(to, &cluster).await, node(to, &cluster).await);
    append(&writer, &["1", "2"]).await;
    let mut behind = Reader::cold(&other).await;
    let mut own = Reader::cold(&writer).await;
    let dump = dump(to, writer.key()).await;
    append(&writer, &["3", "4"]).await;
    restore(to, writer.key(), &dump).await;
    // It cannot tell by itself.
    assert_eq!(behind.read().await, Ok(Vec::new()));
    match tells {
        Tells::ByReading => assert_eq!(own.read().await, Err(GapReason::IdentityChanged)),
        Tells::ByAppending => append(&writer, &["5"]).await,
    }
    assert_eq!(behind.read().await, Err(GapReason::IdentityChanged));
    behind.goes_on().await;
    // Once.
    own.read().await.ok();
    append(&writer, &["6"]).await;
    assert_eq!(behind.read().await, Ok(vec!["6".to_owned()]));
}

/// P1: while the node that knows of it reaches the server, and cannot write for a reason that passes, its reads fail, and it
/// tells all of them once it can.
async fn a_fault_that_passes_hides_nothing(server: Server) {
    let to = server.address();
    for (fault, heals) in [
        (
            &["CONFIG", "SET", "min-replicas-to-write", "1"][..],
            &["CONFIG", "SET", "min-replicas-to-write", "0"][..],
        ),
        (
            &["CLIENT", "PAUSE", "600000", "WRITE"],
            &["CLIENT", "UNPAUSE"],
        ),
    ] {
        let cluster = cluster();
        let other = node(to, &cluster).await;
        let hasty = builder(to, &cluster)
            .read_timeout(Duration::from_millis(500))
            .write_timeout(Duration::from_secs(3));
        let knows = hasty.connect().await.unwrap();
        append(&other, &["1", "2"]).await;
        let (mut own, mut behind) = (Reader::cold(&knows).await, Reader::cold(&other).await);
        let dump = dump(to, other.key()).await;
        append(&node(to, &cluster).await, &["3", "4"]).await;
        assert_eq!(own.read().await.unwrap(), ["3", "4"]);
        restore(to, other.key(), &dump).await;
        let () = run(to, fault).await;
        for _ in 0..2 {
            let read = knows.read(request(&own.cursor)).await;
            assert!(read.is_err(), "{fault:?}: {read:?}");
        }
        let head = knows.head().await;
        assert!(head.is_err(), "{fault:?}: {head:?}");
        let () = run(to, heals).await;
        assert_eq!(own.read().await, Err(GapReason::IdentityChanged));
        assert_eq!(behind.read().await, Err(GapReason::IdentityChanged));
        behind.goes_on().await;
    }
}

/// P1: one who may only read cannot tell the others, and is told itself, once, whatever else it asks before.
async fn one_who_may_not_write_is_told(to: SocketAddr) {
    let cluster = cluster();
    let writer = node(to, &cluster).await;
    append(&writer, &["1", "2"]).await;
    let rules =
        "on >secret %R~cache_invalidation:* +eval_ro +evalsha_ro +info +type +xinfo +xrange";
    let rules: Vec<_> = rules.split(' ').collect();
    let () = run(to, &[&["ACL", "SETUSER", &cluster], &rules[..]].concat()).await;
    let weak = builder(to, &cluster).user(&cluster).password("secret");
    let weak = weak.connect().await.unwrap();
    let mut behind = Reader::cold(&weak).await;
    let dump = dump(to, writer.key()).await;
    append(&writer, &["3", "4"]).await;
    weak.head().await.unwrap();
    restore(to, writer.key(), &dump).await;
    weak.head().await.unwrap();
    assert_eq!(behind.read().await, Err(GapReason::WitnessLost));
    assert_eq!(behind.read().await, Ok(Vec::new()));
}

/// P1: so it is when the log was deleted and made anew after the dump, and its old epoch comes back with the dump.
async fn an_epoch_that_comes_back_is_told(to: SocketAddr) {
    for tells in [Tells::ByReading, Tells::ByAppending] {
        let cluster = cluster();
        let (writer, other) = (node(to, &cluster).await, node(to, &cluster).await);
        append(&writer, &["1", "2"]).await;
        let mut behind = Reader::cold(&other).await;
        let dump = dump(to, writer.key()).await;
        let _: u64 = run(to, &["DEL", writer.key()]).await;
        append(&writer, &["3"]).await;
        restore(to, writer.key(), &dump).await;
        // It cannot tell by itself.
        assert_eq!(behind.read().await, Ok(Vec::new()));
        match tells {
            Tells::ByReading => drop(writer.head().await.unwrap()),
            Tells::ByAppending => append(&writer, &["4"]).await,
        }
        assert_eq!(behind.read().await, Err(GapReason::IdentityChanged));
        behind.goes_on().await;
    }
}

/// P1, P10: so it is when as many entries as were lost have been appended since.
async fn ids_used_again_are_told(to: SocketAddr) {
    let cluster = cluster();
    let (writer, other) = (node(to, &cluster).await, node(to, &cluster).await);
    append(&writer, &["1", "2"]).await;
    let mut behind = Reader::cold(&other).await;
    let mut own = Reader::cold(&writer).await;
    let dump = dump(to, writer.key()).await;
    append(&writer, &["3", "4"]).await;
    restore(to, writer.key(), &dump).await;
    append(&other, &["3 again", "4 again", "5"]).await;
    assert_eq!(own.read().await, Err(GapReason::IdentityChanged));
    assert_eq!(behind.read().await, Err(GapReason::IdentityChanged));
    behind.goes_on().await;
}

/// P1, P10: a server that wrote each append to its file keeps all of them over a crash, and the cursor expires all the
/// same: nothing tells that the file was whole.
async fn a_file_that_was_appended_is_told(server: Server) {
    let to = server.address();
    let log = node(to, &cluster()).await;
    let mut reader = Reader::cold(&log).await;
    append(&log, &["1", "2", "3"]).await;
    server.kill().unwrap();
    server.restart().unwrap();
    let length: u64 = run(to, &["XLEN", log.key()]).await;
    assert_eq!(length, 3);
    assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
    reader.goes_on().await;
}

/// P20: a server whose clock was set back gives epochs that are above those it gave before.
async fn a_clock_that_was_set_back_is_no_restore(to: SocketAddr) {
    let cluster = cluster();
    let key = format!("cache_invalidation:{{{cluster}}}:log");
    // Of the year 2112.
    let mark = format!(
        "invalidation-log:1:0010{}{}",
        "0".repeat(12),
        "7".repeat(16)
    );
    let () = run(to, &["XGROUP", "CREATE", &key, &mark, "0", "MKSTREAM"]).await;
    let (log, other) = (node(to, &cluster).await, node(to, &cluster).await);
    for makes in [&log, &other] {
        append(makes, &["1"]).await;
        let (mut own, mut others) = (Reader::cold(&log).await, Reader::cold(&other).await);
        let _: u64 = run(to, &["DEL", &key]).await;
        append(makes, &["2"]).await;
        for reader in [&mut own, &mut others] {
            assert_eq!(reader.read().await, Err(GapReason::IdentityChanged));
        }
        own.goes_on().await;
        assert_eq!(others.read().await, Ok(vec!["goes on".to_owned()]));
    }
}
