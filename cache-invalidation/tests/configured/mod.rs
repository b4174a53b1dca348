//! Nodes that are configured, on a real broker.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use cache_invalidation::{Cache, Node, config::Config};
use invalidation_testbed::{Backend, Offer, Required, Server};
use libtest_mimic::{Arguments, Completion, Trial};

const SECOND: Duration = Duration::from_secs(1);

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Without a server it is reported as ignored, with the reason; `REQUIRE_BACKENDS` makes that a failure.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &str,
    backend: Backend,
    body: impl FnOnce(&'static Server) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let started = invalidation_testbed::shared(backend);
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

/// P1: what another node invalidates in the log that is meant reaches the cache of the one that is configured.
pub(crate) async fn reads_the_log_of(toml: &str, other: Node) {
    let node = Config::parse_str(toml).unwrap().start().await.unwrap();
    let cache: Cache<i64, i64> = node.cache("prices").build().unwrap();
    let load = async |value: i64| {
        let loaded = cache.get_or_load(&1, async || Ok::<_, std::io::Error>(value));
        loaded.await.unwrap()
    };
    assert_eq!(load(1).await, 1);
    assert_eq!(load(2).await, 1, "it is cached");

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

/// Contract: frames of one node reach another by the transport that is configured, where polls come too late for it.
pub(crate) async fn carries_frames(cluster: &str, log: &str, transport: &str) {
    // So rarely that a test does not live to see it.
    let toml = format!(
        "cluster = '{cluster}'\n[log]\nurl = '{log}'\npoll_interval = '10m'\nretention = '2h'\n{transport}"
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
