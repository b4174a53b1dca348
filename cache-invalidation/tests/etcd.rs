//! A node on an etcd that is configured.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

mod configured;

use std::process::ExitCode;

use cache_invalidation::{Node, etcd::EtcdLog};
use configured::{carries_frames, reads_the_log_of, run, trial};
use invalidation_testbed::{Backend, Server};

fn main() -> ExitCode {
    run(vec![
        trial(
            "the_log_is_the_clusters",
            Backend::Etcd,
            the_log_is_the_clusters,
        ),
        trial("it_carries_frames", Backend::Etcd, it_carries_frames),
    ])
}

/// P1: the members of the URL hold the log, under the cluster's name.
async fn the_log_is_the_clusters(server: &'static Server) {
    let url = url(server);
    let toml = format!(
        "cluster = 'of its own'\n[log]\nurl = '{url}'\n[log.etcd]\nrings = 4\nring_entries = 32"
    );
    let log = EtcdLog::builder(&url).cluster("of its own").connect();
    let other = Node::builder("of its own").log(log.await.unwrap());
    reads_the_log_of(&toml, other.start().await.unwrap()).await;
}

/// Contract: the transport's members are those of the log, or its own.
async fn it_carries_frames(server: &'static Server) {
    let url = url(server);
    carries_frames("with log", &url, "[transport.etcd]\n").await;
    let own = format!("[transport.etcd]\nurl = '{url}'\nbuffered_frames = 64");
    carries_frames("without", "none:", &own).await;
}

fn url(server: &Server) -> String {
    format!("etcd://{}", server.address())
}
