//! Nodes and runtimes as the benches use them.

use std::{net::SocketAddr, time::Duration};

use cache_invalidation::{Node, SharedLog, SharedTransport, http::HttpTransport};

/// A runtime with two workers. What is measured runs in spawned tasks: the future given to `block_on` runs
/// off the workers, and its latencies are two to three times too long.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

/// The secret of every cluster here.
const SECRET: &str = "a secret that only this bench knows";
pub(crate) const CLUSTER: &str = "bench";

/// Two transports that know each other, authenticated, on free ports.
pub(crate) fn pair() -> anyhow::Result<(HttpTransport, HttpTransport)> {
    let (a, b) = (free_port()?, free_port()?);
    Ok((transport(a, b)?, transport(b, a)?))
}

/// A transport that listens on `own` and knows `peer`.
pub(crate) fn transport(own: SocketAddr, peer: SocketAddr) -> anyhow::Result<HttpTransport> {
    Ok(HttpTransport::builder(CLUSTER)
        .listen(own)
        .peer(peer.to_string())
        .secret(SECRET)
        .build()?)
}

pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Two nodes, each with its own connection to one log, joined by a pair of transports.
pub(crate) async fn two_nodes(
    logs: [SharedLog; 2],
    transports: [SharedTransport; 2],
) -> anyhow::Result<(Node, Node)> {
    let start = |log, transport| {
        Node::builder(CLUSTER)
            .shared_log(log)
            .shared_transport(transport)
            .start()
    };
    let ([log_a, log_b], [to_b, to_a]) = (logs, transports);
    Ok((start(log_a, to_b).await?, start(log_b, to_a).await?))
}

/// The TTL of everything here: longer than any bench.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);
/// The bound of everything here.
pub(crate) const MAX_STALENESS: Duration = Duration::from_secs(2);
