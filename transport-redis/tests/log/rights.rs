//! The ACL rules of `docs/operating.md`, word by word.

use std::{net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport as _, ErrorKind, InvalidationLog as _, Outgoing, Signal,
};
use invalidation_testbed::Server;
use invalidation_transport_redis::{RedisLog, RedisLogBuilder, RedisTransport};
use libtest_mimic::Trial;
use tokio::time::timeout;

use super::bed::{PATIENCE, Reader, append, own, run, trial};

/// What the page says instead of a password, the cluster that it speaks of, and the other database.
const PASSWORD: &str = "PASSWORD";
const CLUSTER: &str = "billing";
const DATABASE: u32 = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "rights::what_is_documented_is_enough",
            own,
            what_is_documented_is_enough,
        ),
        trial(
            "rights::another_database_needs_what_is_documented",
            own,
            another_database_needs_what_is_documented,
        ),
    ]
}

/// The commands with which the page makes the user: the one for database 0, and what is added for another one.
fn documented() -> [Vec<String>; 2] {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("\n## ").find(|part| part.starts_with("Redis\n"));
    let blocks = section.unwrap().split("```text\n").skip(1);
    let commands: Vec<Vec<String>> = blocks
        .filter_map(|block| block.split("```").next())
        .filter(|block| block.starts_with("ACL SETUSER app "))
        .map(|block| block.split_whitespace().map(str::to_owned).collect())
        .collect();
    commands.try_into().unwrap()
}

async fn set(to: SocketAddr, command: &[String]) {
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    run(to, &command).await
}

fn url(to: SocketAddr, database: u32) -> String {
    format!("redis://app:{PASSWORD}@{to}/{database}")
}

fn log(to: SocketAddr, database: u32) -> RedisLogBuilder {
    RedisLog::builder(&url(to, database))
        .cluster(CLUSTER)
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
}

fn transport(to: SocketAddr, database: u32) -> RedisTransport {
    RedisTransport::builder(CLUSTER)
        .url(&url(to, database))
        .publish_timeout(PATIENCE)
        .build()
        .unwrap()
}

/// All that a node does.
async fn works(to: SocketAddr, database: u32) {
    let log = log(to, database).connect().await.unwrap();
    log.install().await.unwrap();
    let mut reader = Reader::cold(&log).await;
    append(&log, &["1", "2"]).await;
    assert_eq!(reader.read().await.unwrap(), ["1", "2"]);
    let purged = log.purge(Duration::ZERO).await.unwrap();
    assert_eq!(purged.entries, 1);

    let transport = transport(to, database);
    transport.probe().await.unwrap();
    let mut subscription = transport.subscribe().await.unwrap();
    let frame = Bytes::from_static(b"frame");
    transport
        .publish(Outgoing::to_all(frame.clone()))
        .await
        .unwrap();
    let heard = timeout(PATIENCE, subscription.next()).await.unwrap();
    match heard {
        Some(Ok(Signal::Frame(heard))) => assert_eq!(heard.bytes, frame),
        other => panic!("expected the frame: {other:?}"),
    }
}

/// The user of the page does all that a node does, on database 0.
async fn what_is_documented_is_enough(server: Server) {
    let [user, _] = documented();
    set(server.address(), &user).await;
    works(server.address(), 0).await;
}

/// On another one it does so with what the page adds, and with nothing less.
async fn another_database_needs_what_is_documented(server: Server) {
    let to = server.address();
    let [user, more] = documented();
    set(to, &user).await;
    let (head, added) = more.split_at(3);
    for (at, right) in added.iter().enumerate() {
        let refused = transport(to, DATABASE).subscribe().await.err();
        let kind = refused.map(|error| error.kind);
        assert_eq!(kind, Some(ErrorKind::Denied), "without {:?}", &added[at..]);
        set(to, &[head, std::slice::from_ref(right)].concat()).await;
    }
    works(to, DATABASE).await;
}
