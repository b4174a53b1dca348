//! Trials on real servers, and reading with deadlines.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use etcd_client::Client;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport as _, Error, NodeId, Outgoing, Signal, Subscription,
};
use invalidation_testbed::{Backend, Offer, Required, Server, shared};
use invalidation_transport_etcd::{EtcdTransport, EtcdTransportBuilder};
use libtest_mimic::{Completion, Failed, Trial};
use tokio::task::spawn_blocking;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for what should not come.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// A trial on the shared server. What it expects and does not get is a panic.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &'static str,
    body: impl FnOnce(&'static Server) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let server = match Required::from_env()?.decide(shared(Backend::Etcd))? {
            Offer::Ignored(absent) => return Ok(Completion::ignored_with(absent)),
            Offer::Here(server) => server,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(body(server));
        Ok::<_, Failed>(Completion::Completed)
    })
}

/// What the testbed does blocks its thread.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("runs")
}

/// A server of the trial's own.
pub(crate) async fn own(arguments: &'static [&'static str]) -> Server {
    blocking(move || Server::start_with(Backend::Etcd, arguments))
        .await
        .unwrap()
}

/// A name that no other test has.
pub(crate) fn fresh_cluster() -> String {
    NodeId::random().to_string()
}

/// The key of a cluster's frames.
pub(crate) fn key(cluster: &str) -> String {
    format!("/cache-invalidation/{cluster}/frames")
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("etcd://{address}")
}

pub(crate) fn builder(cluster: &str, url: &str) -> EtcdTransportBuilder {
    EtcdTransport::builder(cluster)
        .url(url)
        .publish_timeout(Duration::from_secs(5))
        .notices_loss_within(Duration::from_secs(6))
        .reconnect_wait(Duration::from_millis(1), Duration::from_millis(1))
}

pub(crate) fn node(cluster: &str, address: SocketAddr) -> EtcdTransport {
    builder(cluster, &url(address)).build().unwrap()
}

pub(crate) async fn publish(node: &EtcdTransport, text: &str) -> Result<(), Error> {
    let frame = Outgoing::to_all(Bytes::copy_from_slice(text.as_bytes()));
    within("publish", node.publish(frame)).await.map(drop)
}

pub(crate) async fn subscribe(node: &EtcdTransport) -> Subscription {
    within("subscribe", node.subscribe()).await.unwrap()
}

/// Why a call was refused.
pub(crate) async fn refusal<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> Error {
    match within(what, call).await {
        Ok(_) => panic!("expected {what} to be refused, and it was well"),
        Err(error) => error,
    }
}

/// What a subscription tells next, in words: a frame's text, or what else it is.
pub(crate) async fn hear(subscription: &mut Subscription) -> String {
    match within("something is told", subscription.next()).await {
        Some(Ok(Signal::Frame(frame))) => String::from_utf8(frame.bytes.to_vec()).unwrap(),
        Some(Ok(Signal::Gap(reason))) => format!("gap: {reason}"),
        Some(Ok(Signal::Nudge)) => "nudge".to_owned(),
        Some(Ok(other)) => format!("{other:?}"),
        Some(Err(error)) => format!("end: {:?}", error.kind),
        None => "end".to_owned(),
    }
}

/// The error with which a subscription ends, after what else it tells.
pub(crate) async fn end(subscription: &mut Subscription) -> Error {
    within("the subscription ends", async {
        loop {
            match subscription.next().await {
                Some(Err(error)) => return error,
                Some(Ok(_)) => {}
                None => panic!("expected an error at the end of the subscription"),
            }
        }
    })
    .await
}

/// Publishes until one comes.
pub(crate) async fn hears_again(from: &EtcdTransport, to: &EtcdTransport) {
    within("a frame comes again", async {
        loop {
            let Ok(mut subscription) = to.subscribe().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            if publish(from, "again").await.is_ok()
                && tokio::time::timeout(Duration::from_secs(2), subscription.next())
                    .await
                    .is_ok_and(|told| matches!(told, Some(Ok(Signal::Frame(_)))))
            {
                return;
            }
        }
    })
    .await;
}

/// Any other client of the server.
pub(crate) async fn client(server: &Server) -> Client {
    Client::connect([server.url()], None).await.unwrap()
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("expected within {PATIENCE:?}: {what}"))
}
