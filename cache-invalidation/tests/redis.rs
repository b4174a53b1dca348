//! A node on a Redis that is configured.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

mod configured;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
};

use cache_invalidation::{Node, config::Config, redis::RedisLog};
use configured::{carries_frames, reads_the_log_of, run, trial};
use invalidation_testbed::{Backend, Server};

fn main() -> ExitCode {
    run(vec![
        trial(
            "a_key_becomes_the_log",
            Backend::Redis,
            a_key_becomes_the_log,
        ),
        trial(
            "the_log_is_the_clusters",
            Backend::Redis,
            the_log_is_the_clusters,
        ),
        trial("it_carries_frames", Backend::Redis, it_carries_frames),
        trial("credentials_arrive", Backend::Redis, credentials_arrive),
    ])
}

async fn other(cluster: &str, log: RedisLog) -> Node {
    Node::builder(cluster).log(log).start().await.unwrap()
}

/// P1: the server of the URL holds the log, in the key that is configured.
async fn a_key_becomes_the_log(server: &'static Server) {
    let url = server.url();
    let toml = format!(
        "cluster = 'billing'\n[log]\nurl = '{url}'\n[log.redis]\nkey = '{{from}}:config'\nmax_entries = 5000"
    );
    let log = RedisLog::builder(&url).key("{from}:config").connect();
    reads_the_log_of(&toml, other("billing", log.await.unwrap()).await).await;
}

/// P1: without a key the log is that of the cluster.
async fn the_log_is_the_clusters(server: &'static Server) {
    let url = server.url();
    let toml = format!("cluster = 'of its own'\nlog.url = '{url}'");
    let log = RedisLog::builder(&url).cluster("of its own").connect();
    reads_the_log_of(&toml, other("of its own", log.await.unwrap()).await).await;
}

/// Contract: the transport's server is that of the log, or its own.
async fn it_carries_frames(server: &'static Server) {
    let url = server.url();
    carries_frames("with log", &url, "[transport.redis]\n").await;
    let own = format!("[transport.redis]\nurl = '{url}'\nbuffered_frames = 64");
    carries_frames("without", "none:", &own).await;
}

/// Contract: user and password reach the server, from wherever they were read; the wrong ones are refused by it.
async fn credentials_arrive(server: &'static Server) {
    let rules = "ACL SETUSER configured on >hunter2 ~* &* +@all";
    assert_eq!(command(server.address(), rules), "+OK\r\n");
    let folder = tempfile::tempdir().unwrap();
    let toml = |password: &str| {
        let file = folder.path().join(password);
        std::fs::write(&file, password).unwrap();
        format!(
            "cluster = 'acl'\n[log]\nurl = '{}'\n[log.redis]\nuser = 'configured'\npassword_file = '{}'\n\
             [transport.redis]\n",
            server.url(),
            file.display()
        )
    };
    let good = Config::parse_str(&toml("hunter2")).unwrap();
    let node = good.start().await.unwrap();
    let wrong = Config::parse_str(&toml("hunter3")).unwrap();
    let refused = wrong.start().await.unwrap_err();
    assert!(!format!("{refused:?}").contains("hunter"), "{refused:?}");
    node.shutdown(std::time::Duration::from_secs(1))
        .await
        .unwrap();
}

/// The first of what the server answers to an inline command.
fn command(at: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "{line}\r\n").unwrap();
    let mut answer = [0; 64];
    let size = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..size]).into_owned()
}
