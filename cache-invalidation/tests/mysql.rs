//! A node on a MariaDB that is configured. Without a server it is reported as ignored, with the reason;
//! `REQUIRE_BACKENDS` makes that a failure.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use cache_invalidation::{Cache, Node, config::Config, mysql::MySqlLog};
use invalidation_testbed::{Backend, Offer, Required, Server};
use libtest_mimic::{Arguments, Completion, Trial};
use sqlx::{ConnectOptions, mysql::MySqlConnectOptions};

const SECOND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let trial = Trial::ignorable_test("a_database_becomes_the_log", || {
        let started = invalidation_testbed::shared(Backend::Mariadb);
        match Required::from_env()?.decide(started)? {
            Offer::Ignored(absent) => Ok(Completion::ignored_with(absent)),
            Offer::Here(server) => {
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()?
                    .block_on(a_database_becomes_the_log(server));
                Ok(Completion::Completed)
            }
        }
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// P1: the database of the URL becomes the log, in the database that is configured: what another node invalidates there
/// reaches the cache of this one.
async fn a_database_becomes_the_log(server: &Server) {
    let url = server.url();
    let mut admin = url
        .parse::<MySqlConnectOptions>()
        .unwrap()
        .connect()
        .await
        .unwrap();
    let create = sqlx::raw_sql("CREATE DATABASE from_config");
    create.execute(&mut admin).await.unwrap();
    let toml =
        format!("cluster = 'billing'\n[log]\nurl = '{url}'\n[log.mysql]\ndatabase = 'from_config'");
    let node = Config::parse_str(&toml).unwrap().start().await.unwrap();
    let cache: Cache<i64, i64> = node.cache("prices").build().unwrap();
    let load = async |value: i64| {
        let loaded = cache.get_or_load(&1, async || Ok::<_, std::io::Error>(value));
        loaded.await.unwrap()
    };
    assert_eq!(load(1).await, 1);
    assert_eq!(load(2).await, 1, "it is cached");

    let log = MySqlLog::builder(&url).database("from_config");
    let other = Node::builder("billing")
        .log(log.connect().await.unwrap())
        .start()
        .await
        .unwrap();
    let there: Cache<i64, i64> = other.cache("prices").build().unwrap();
    there.invalidate(&1).await.unwrap();
    let deadline = Instant::now() + 20 * SECOND;
    while load(3).await != 3 {
        assert!(Instant::now() < deadline, "it is never told");
        tokio::time::sleep(SECOND / 100).await;
    }
    node.shutdown(SECOND).await.unwrap();
    other.shutdown(SECOND).await.unwrap();
}
