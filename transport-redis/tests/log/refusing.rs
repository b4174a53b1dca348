//! What the server or the log refuses, and what is said of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use invalidation_core::{Entry, ErrorKind, Invalidation, InvalidationLog as _, Scope};
use invalidation_testbed::{Error as Broken, Proxy, RedisSetup, Server};
use libtest_mimic::Trial;

use super::bed::{Reader, append, builder, cluster, key, node, run, shared, trial, until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "refusing::a_disk_that_cannot_be_saved_to",
            unsaved,
            a_disk_that_cannot_be_saved_to,
        ),
        trial("refusing::ids_that_are_used_up", shared, |server| {
            ids_that_are_used_up(server.address())
        }),
        trial("refusing::closing_ends_all_connections", shared, |server| {
            closing_ends_all_connections(server.address())
        }),
        trial("refusing::what_is_too_large", shared, |server| {
            what_is_too_large(server.address())
        }),
        trial(
            "refusing::a_right_that_is_missing",
            weak,
            a_right_that_is_missing,
        ),
        trial(
            "refusing::a_script_cache_that_was_emptied",
            shared,
            |server| a_script_cache_that_was_emptied(server.address()),
        ),
    ]
}

fn unsaved() -> Result<Server, Broken> {
    RedisSetup::new()
        .directive("dbfilename is-a-folder")
        .start()
}

/// P2: a server that cannot save refuses writes, which is told with what to do, and is read all the same.
async fn a_disk_that_cannot_be_saved_to(server: Server) {
    let to = server.address();
    let log = node(to, &cluster()).await;
    append(&log, &["1"]).await;
    let mut reader = Reader::cold(&log).await;
    std::fs::create_dir(server.folder().join("is-a-folder")).unwrap();
    std::fs::write(server.folder().join("is-a-folder/file"), "x").unwrap();
    let () = run(to, &["CONFIG", "SET", "save", "3600 1"]).await;
    let _: String = run(to, &["BGSAVE"]).await;
    let refused = until("the server refuses to write", || async {
        log.append(&[key("2")]).await.err()
    })
    .await;
    assert_eq!(refused.kind, ErrorKind::ReadOnly);
    assert!(refused.message.contains("disk"), "{refused}");
    let read = reader.read().await.unwrap();
    let () = run(to, &["CONFIG", "SET", "save", ""]).await;
    append(&log, &["3"]).await;
    let more = reader.read().await.unwrap();
    assert_eq!([read, more].concat().last().unwrap(), "3");
}

/// An id above all that Lua can count is told, and nothing is written.
async fn ids_that_are_used_up(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let () = run(to, &["XSETID", log.key(), "9007199254740990-0"]).await;
    append(&log, &["the last"]).await;
    for _ in 0..2 {
        let refused = log.append(&[key("1")]).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Incompatible);
    }
    let length: u64 = run(to, &["XLEN", log.key()]).await;
    assert_eq!(length, 1);
}

/// Contract: what was queued when the log was closed opens no connection again, and whatever was acknowledged is there.
async fn closing_ends_all_connections(to: SocketAddr) {
    let front = Proxy::to(to).unwrap();
    let cluster = cluster();
    let log = Arc::new(node(front.address(), &cluster).await);
    let other = node(to, &cluster).await;
    let mut reader = Reader::cold(&other).await;
    log.head().await.unwrap();
    // Each group takes so long that others wait behind it.
    front.delay(Duration::from_millis(40));
    let appends: Vec<_> = (0..5)
        .map(|number: u32| {
            let log = Arc::clone(&log);
            // More than share one script.
            let entries: Vec<_> = (0..900).map(|at| key(format!("{number}/{at}"))).collect();
            tokio::spawn(async move { log.append(&entries).await.map(|_| number) })
        })
        .collect();
    tokio::task::yield_now().await;
    log.close().await.unwrap();
    let mut acknowledged = Vec::new();
    for append in appends {
        match append.await.unwrap() {
            Ok(number) => acknowledged.push(number),
            Err(e) => assert_eq!(e.kind, ErrorKind::Closed, "{e}"),
        }
    }
    until("every connection is closed", || async {
        (front.connections() == 0).then_some(())
    })
    .await;
    let found = reader.read().await.unwrap();
    for number in acknowledged {
        let of = |text: &&String| text.starts_with(&format!("{number}/"));
        assert_eq!(found.iter().filter(of).count(), 900);
    }
}

/// What would hold the server up is refused before it is sent.
async fn what_is_too_large(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let large = |bytes: usize| {
        Entry::new(Invalidation::Cache {
            cache: "users".parse().unwrap(),
            scope: Scope::keys(["x".repeat(bytes)]),
        })
    };
    let many = |count: usize| -> Vec<_> { (0..count).map(|n| key(n.to_string())).collect() };
    log.append(&[large(1_000_000)]).await.unwrap();
    log.append(&many(10_000)).await.unwrap();
    for entries in [
        vec![large(1 << 20)],
        many(10_001),
        vec![large(1_000_000); 34],
    ] {
        let refused = log.append(&entries).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::TooLarge, "{refused}");
    }
}

fn weak() -> Result<Server, Broken> {
    RedisSetup::new()
        .directive(
            "user half on >secret ~* +eval +evalsha +eval_ro +evalsha_ro +type +time +xinfo +xadd",
        )
        .start()
}

/// A right that is missing within a script is told as that.
async fn a_right_that_is_missing(server: Server) {
    let log = builder(server.address(), &cluster())
        .user("half")
        .password("secret");
    let log = log.connect().await.unwrap();
    for refused in [
        log.install().await.unwrap_err(),
        log.head().await.unwrap_err(),
        log.append(&[key("1")]).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, ErrorKind::Denied, "{refused:?}");
        assert!(refused.message.contains("ACL SETUSER"), "{refused}");
    }
}

/// P1: a server that forgot the scripts is given them again, and each entry is appended once.
async fn a_script_cache_that_was_emptied(to: SocketAddr) {
    let log = node(to, &cluster()).await;
    let mut reader = Reader::cold(&log).await;
    for number in ["1", "2", "3"] {
        let () = run(to, &["SCRIPT", "FLUSH"]).await;
        append(&log, &[number]).await;
        let () = run(to, &["SCRIPT", "FLUSH"]).await;
        assert_eq!(reader.read().await, Ok(vec![number.to_owned()]));
    }
}
