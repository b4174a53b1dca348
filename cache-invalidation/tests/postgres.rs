//! A node on a PostgreSQL that is configured. Without a server it is reported as ignored, with the reason;
//! `REQUIRE_BACKENDS` makes that a failure.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use cache_invalidation::{
    Cache, Node,
    config::Config,
    postgres::{PgLog, Pooling},
};
use invalidation_testbed::{Backend, Offer, Required, Server};
use libtest_mimic::{Arguments, Completion, Trial};

const SECOND: Duration = Duration::from_secs(1);

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let trials = vec![
        trial("a_database_becomes_the_log", a_database_becomes_the_log),
        trial(
            "nodes_find_each_other_in_the_log",
            nodes_find_each_other_in_the_log,
        ),
        trial("a_database_carries_frames", a_database_carries_frames),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial<F: Future<Output = ()>>(
    name: &str,
    body: impl FnOnce(&'static Server) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, || {
        let started = invalidation_testbed::shared(Backend::Postgres);
        match Required::from_env()?.decide(started)? {
            Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
            Offer::Here(server) => {
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()?
                    .block_on(body(server));
                Ok(Completion::Completed)
            }
        }
    })
}

/// P1: the database of the URL becomes the log, in the schema that is configured: what another node invalidates there
/// reaches the cache of this one.
async fn a_database_becomes_the_log(server: &'static Server) {
    let url = server.url();
    let toml = format!(
        "cluster = 'billing'\n[log]\nurl = '{url}'\n[log.postgres]\nschema = 'from_config'"
    );
    let node = Config::parse_str(&toml).unwrap().start().await.unwrap();
    let cache: Cache<i64, i64> = node.cache("prices").build().unwrap();
    let load = async |value: i64| {
        let loaded = cache.get_or_load(&1, async || Ok::<_, std::io::Error>(value));
        loaded.await.unwrap()
    };
    assert_eq!(load(1).await, 1);
    assert_eq!(load(2).await, 1, "it is cached");

    let log = PgLog::builder(&url)
        .schema("from_config")
        .pooling(Pooling::Direct);
    let other = Node::builder("billing")
        .log(log.connect().await.unwrap())
        .start()
        .await
        .unwrap();
    let there: Cache<i64, i64> = other.cache("prices").build().unwrap();
    there.invalidate(&1).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while load(3).await != 3 {
        assert!(Instant::now() < deadline, "it is never told");
        tokio::time::sleep(SECOND / 100).await;
    }
    node.shutdown(SECOND).await.unwrap();
    other.shutdown(SECOND).await.unwrap();
}

/// Contract: nodes that are told nothing of each other but the log are each other's peers on the fast path; one that
/// shuts down is so no more.
async fn nodes_find_each_other_in_the_log(server: &'static Server) {
    let toml = format!(
        "cluster = 'billing'
        [log]
        url = '{}'
        [log.postgres]
        schema = 'peers_in_the_log'
        [transport.http]
        listen = '127.0.0.1:0'
        peers = ['log']
        insecure = true",
        server.url()
    );
    let config = Config::parse_str(&toml).unwrap();
    let (a, b) = (config.start().await.unwrap(), config.start().await.unwrap());
    let peers = async |of: &Node| {
        let cache: Cache<i64, i64> = of.cache("prices").build().unwrap();
        let receipt = cache.invalidate(&1).await.unwrap();
        drop(cache);
        let published = receipt.published().await;
        let frames = published.into_iter().flat_map(|told| told.frames);
        let peers = frames.flat_map(|frame| frame.unwrap().peers);
        peers
            .filter(|peer| peer.result.is_ok())
            .filter_map(|peer| peer.node)
            .collect::<Vec<_>>()
    };
    for (from, to) in [(&a, &b), (&b, &a)] {
        let deadline = Instant::now() + PATIENCE;
        while peers(from).await != [to.id()] {
            assert!(Instant::now() < deadline, "they do not find each other");
            tokio::time::sleep(SECOND / 100).await;
        }
    }
    b.shutdown(PATIENCE).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cache: Cache<i64, i64> = a.cache("prices").build().unwrap();
        let published = cache.invalidate(&1).await.unwrap().published().await;
        drop(cache);
        let mut frames = published.into_iter().flat_map(|told| told.frames);
        if frames.all(|frame| frame.unwrap().peers.is_empty()) {
            break;
        }
        assert!(Instant::now() < deadline, "who left is still a peer");
        tokio::time::sleep(SECOND / 100).await;
    }
    a.shutdown(PATIENCE).await.unwrap();
}

/// Contract: `[transport.postgres]` carries frames, over the log's URL when it names none: without a log that tells
/// anything a node hears of the other.
async fn a_database_carries_frames(server: &'static Server) {
    let url = server.url();
    for toml in [
        format!("cluster = 'with log'\nlog.url = '{url}'\n[transport.postgres]\n"),
        format!("cluster = 'without'\nlog.url = 'none:'\n[transport.postgres]\nurl = '{url}'"),
    ] {
        // So rarely that a test does not live to see it.
        let toml = toml.replace(
            "[transport",
            "log.poll_interval = '10m'\nlog.retention = '2h'\n[transport",
        );
        let config = Config::parse_str(&toml).unwrap();
        let (a, b) = (config.start().await.unwrap(), config.start().await.unwrap());
        let here: Cache<i64, i64> = a.cache("prices").build().unwrap();
        let there: Cache<i64, i64> = b.cache("prices").build().unwrap();
        let load = async |value: i64| {
            let loaded = here.get_or_load(&1, async || Ok::<_, std::io::Error>(value));
            loaded.await.unwrap()
        };
        // The first contact with an origin may flush.
        there.invalidate(&2).await.unwrap().published().await;
        let mut value = 1;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let cached = load(value).await;
            value += 1;
            there.invalidate(&1).await.unwrap().published().await;
            let arrived = Instant::now() + SECOND;
            while load(value).await == cached && Instant::now() < arrived {
                tokio::time::sleep(SECOND / 100).await;
            }
            if load(value).await != cached {
                break;
            }
            assert!(Instant::now() < deadline, "no frame arrives");
        }
        a.shutdown(PATIENCE).await.unwrap();
        b.shutdown(PATIENCE).await.unwrap();
    }
}
