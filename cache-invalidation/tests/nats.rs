//! A node on a NATS that is configured.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

mod configured;

use std::process::ExitCode;

use cache_invalidation::{Node, config::Config, nats::NatsLog};
use configured::{carries_frames, reads_the_log_of, run, trial};
use invalidation_testbed::{Backend, Server};

fn main() -> ExitCode {
    run(vec![
        trial(
            "a_stream_becomes_the_log",
            Backend::Nats,
            a_stream_becomes_the_log,
        ),
        trial(
            "the_log_is_the_clusters",
            Backend::Nats,
            the_log_is_the_clusters,
        ),
        trial("it_carries_frames", Backend::Nats, it_carries_frames),
        trial("credentials_arrive", Backend::Nats, credentials_arrive),
    ])
}

async fn other(cluster: &str, log: NatsLog) -> Node {
    Node::builder(cluster).log(log).start().await.unwrap()
}

/// P1: the server of the URL holds the log, in the stream that is configured.
async fn a_stream_becomes_the_log(server: &'static Server) {
    let url = server.url();
    let toml = format!(
        "cluster = 'billing'\n[log]\nurl = '{url}'\n[log.nats]\nstream = 'FROM_CONFIG'\nsubject = 'from.config'\n\
         storage = 'memory'\nmax_age = '1d'\nmax_messages = 9999\nmax_bytes = 1_000_000\nwhen_full = 'refuse_appends'"
    );
    let log = NatsLog::builder(&url)
        .stream("FROM_CONFIG")
        .subject("from.config")
        .storage(cache_invalidation::nats::Storage::Memory);
    let config = Config::parse_str(&toml).unwrap();
    // Whoever is first makes the stream.
    let first = config.start().await.unwrap();
    let log = log.connect().await.unwrap();
    let made = log.stream_settings().await.unwrap();
    assert_eq!(
        (made.stream.as_str(), made.subject.as_str()),
        ("FROM_CONFIG", "from.config")
    );
    assert_eq!(
        (made.replicas, made.max_messages, made.max_bytes),
        (1, Some(9_999), Some(1_000_000))
    );
    assert_eq!(made.max_age, Some(std::time::Duration::from_secs(86_400)));
    assert_eq!(
        made.when_full,
        cache_invalidation::nats::WhenFull::RefuseAppends
    );
    reads_the_log_of(&toml, other("billing", log).await).await;
    drop(first);
}

/// P1: without a stream the log is that of the cluster.
async fn the_log_is_the_clusters(server: &'static Server) {
    let url = server.url();
    let toml = format!("cluster = 'of its own'\nlog.url = '{url}'");
    let log = NatsLog::connect(&url, "of its own").await.unwrap();
    reads_the_log_of(&toml, other("of its own", log).await).await;
}

/// Contract: the transport's servers are those of the log, or its own.
async fn it_carries_frames(server: &'static Server) {
    let url = server.url();
    carries_frames("with log", &url, "[transport.nats]\n").await;
    let own = format!("[transport.nats]\nurl = '{url}'\nbuffered_frames = 64\nmax_frame = 4096");
    carries_frames("without", "none:", &own).await;
}

/// Contract: a token reaches the server, from wherever it was read; the wrong one is refused by it.
async fn credentials_arrive(_: &'static Server) {
    let server = Server::start_with(Backend::Nats, &["--auth", "hunter2"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let toml = |token: &str| {
        let file = folder.path().join(token);
        std::fs::write(&file, token).unwrap();
        format!(
            "cluster = 'acl'\n[log]\nurl = '{}'\n[log.nats]\ntoken_file = '{}'\n[transport.nats]\n",
            server.url(),
            file.display()
        )
    };
    let node = Config::parse_str(&toml("hunter2"))
        .unwrap()
        .start()
        .await
        .unwrap();
    let wrong = Config::parse_str(&toml("hunter3")).unwrap();
    let refused = wrong.start().await.unwrap_err();
    assert!(!format!("{refused:?}").contains("hunter"), "{refused:?}");
    node.shutdown(std::time::Duration::from_secs(1))
        .await
        .unwrap();
}
