//! `docs/capabilities.md` is what the code claims, in the code's own words and in those of the tables beside this file.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

mod logs;
mod page;
mod transports;

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use cache_invalidation::{
    Cache, InvalidationLog, JoinsLog, LogCapabilities, Node, NodeSettings, ReadConsistency, etcd,
    mysql, postgres, redis, sqlite,
};

/// Set to anything, it writes the page anew.
const WRITE: &str = "WRITE";

/// P19: the page is current.
#[tokio::test]
async fn the_page_is_what_the_code_claims() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("docs/capabilities.md");
    let page = page::generate(&logs::all(), &transports::all());
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/capabilities.md is not what the code claims. Write it anew, and read what changed:\n  {WRITE}=1 {}",
        page::COMMAND
    );
}

/// Each promise that a log's capabilities weaken is told in words, and no other.
#[tokio::test]
async fn the_words_are_about_what_is_claimed() {
    for (log, words) in logs::all() {
        let LogCapabilities {
            transactional,
            reads,
            keeps_acknowledged,
            ..
        } = log.capabilities();
        let of = words.log;
        assert_eq!(words.p1.is_some(), !keeps_acknowledged, "{of}: P1");
        assert_eq!(words.p2.is_some(), !transactional, "{of}: P2");
        assert!(
            !transactional || words.joined_by.is_some(),
            "{of}: who joins it"
        );
        let is_linearizable = reads == ReadConsistency::Linearizable;
        assert_eq!(words.p3.is_some(), !is_linearizable, "{of}: P3");
        let is_refused = words
            .p3
            .is_some_and(|p3| p3.contains("`max_staleness` is refused"));
        assert_eq!(is_refused, reads == ReadConsistency::MayBeStale, "{of}: P3");
    }
}

/// Each backend is on the page once, with each setting that changes what it claims.
#[tokio::test]
async fn every_backend_is_there() {
    let logs = logs::all();
    let rows: BTreeSet<_> = logs
        .iter()
        .map(|(_, words)| (words.log, words.with))
        .collect();
    assert_eq!(rows.len(), logs.len());
    let names: BTreeSet<_> = logs
        .iter()
        .map(|(log, _)| log.capabilities().name)
        .collect();
    let own: BTreeSet<_> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, own, "the words are those of the log beside them");
    let expected = [
        "etcd", "memory", "mysql", "nats", "postgres", "redis", "sqlite",
    ];
    assert_eq!(Vec::from_iter(names), expected);

    let transports = transports::all();
    let names: Vec<_> = transports
        .iter()
        .map(|(it, _)| it.capabilities().name)
        .collect();
    let own: Vec<_> = transports
        .iter()
        .map(|(_, words)| words.transport)
        .collect();
    assert_eq!(names, own);
    assert_eq!(
        BTreeSet::from_iter(names),
        BTreeSet::from(["etcd", "http", "memory", "nats", "postgres", "redis"])
    );
}

/// P3: a cache with `max_staleness` is refused exactly on the logs of which the page says so.
#[tokio::test]
async fn the_bound_is_refused_where_the_page_says_so() {
    for (log, words) in logs::all() {
        let mut settings = NodeSettings::default();
        // No server is there, which is no matter for what is refused.
        settings.start_in_bypass = true;
        settings.start_timeout = Duration::from_millis(50);
        let node = Node::builder("capabilities")
            .settings(settings)
            .shared_log(log);
        let node = node.start().await.unwrap();
        let cache = node.cache("prices").max_staleness(Duration::from_secs(2));
        let built: Result<Cache<i64, i64>, _> = cache.build();
        let is_refused = words
            .p3
            .is_some_and(|p3| p3.contains("`max_staleness` is refused"));
        assert_eq!(built.is_err(), is_refused, "{} {:?}", words.log, words.with);
        node.shutdown(Duration::from_secs(5)).await.ok();
    }
}

/// P2: what the page calls a way to join a log is one.
#[test]
fn what_joins_a_log_joins_it() {
    fn joins<L: InvalidationLog, T: JoinsLog<L>>() {}
    joins::<sqlite::SqliteLog, sqlx::Transaction<'static, sqlx::Sqlite>>();
    joins::<postgres::PgLog, sqlx::Transaction<'static, sqlx::Postgres>>();
    joins::<mysql::MySqlLog, sqlx::Transaction<'static, sqlx::MySql>>();
    joins::<redis::RedisLog, redis::RedisWrite>();
    joins::<etcd::EtcdLog, etcd::EtcdTransaction>();
}
