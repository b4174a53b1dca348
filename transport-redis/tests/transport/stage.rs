//! Trials on servers of their own, and reading with deadlines.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use invalidation_core::{
    CacheInvalidationTransport as _, Error, NodeId, Outgoing, Signal, Subscription,
};
use invalidation_testbed::{Backend, Offer, RedisSetup, Required, Server, shared};
use invalidation_transport_redis::{RedisTransport, RedisTransportBuilder};
use libtest_mimic::{Completion, Failed, Trial};
use redis::{RedisError, Value, aio::MultiplexedConnection};
use tokio::{task::spawn_blocking, time::Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A trial where Redis is installed. What it expects and does not get is a panic.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &'static str,
    body: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let offer = Required::from_env()?.decide(Backend::Redis.program("redis-server"))?;
        if let Offer::Ignored(absent) = offer {
            return Ok(Completion::ignored_with(absent));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(body());
        Ok::<_, Failed>(Completion::Completed)
    })
}

/// The server that all trials share which disrupt none.
pub(crate) async fn common() -> &'static Server {
    blocking(|| shared(Backend::Redis).expect("starts")).await
}

pub(crate) async fn start(setup: RedisSetup) -> Server {
    blocking(move || setup.start().expect("starts")).await
}

/// What the testbed does blocks its thread.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("runs")
}

/// A name that no other test has.
pub(crate) fn fresh_cluster() -> String {
    NodeId::random().to_string()
}

pub(crate) fn builder(cluster: &str, url: &str) -> RedisTransportBuilder {
    RedisTransport::builder(cluster)
        .url(url)
        .publish_timeout(Duration::from_secs(5))
        .notices_loss_within(Duration::from_secs(6))
        .reconnect_wait(Duration::from_millis(1), Duration::from_millis(1))
}

pub(crate) fn node(cluster: &str, url: &str) -> RedisTransport {
    builder(cluster, url).build().unwrap()
}

pub(crate) async fn publish(node: &RedisTransport, text: &str) -> Result<(), Error> {
    let frame = Outgoing::to_all(Bytes::copy_from_slice(text.as_bytes()));
    within("publish", node.publish(frame)).await.map(drop)
}

pub(crate) async fn subscribe(node: &RedisTransport) -> Subscription {
    within("subscribe", node.subscribe()).await.unwrap()
}

pub(crate) async fn not_subscribed(node: &RedisTransport) -> Error {
    match within("subscribe", node.subscribe()).await {
        Ok(_) => panic!("expected subscribe to fail"),
        Err(error) => error,
    }
}

/// What a subscription tells next, in words: a frame's text, or what else it is.
pub(crate) async fn hear(subscription: &mut Subscription) -> String {
    match within("something is told", subscription.next()).await {
        Some(Ok(Signal::Frame(frame))) => String::from_utf8_lossy(&frame.bytes).into_owned(),
        Some(Ok(Signal::Gap(reason))) => format!("gap: {reason}"),
        Some(Ok(Signal::Nudge)) => "nudge".to_owned(),
        Some(Ok(other)) => format!("{other:?}"),
        Some(Err(error)) => format!("end: {:?}: {}", error.kind, error.message),
        None => "end".to_owned(),
    }
}

/// What ends a subscription, past the frames before.
pub(crate) async fn end_of(subscription: &mut Subscription) -> String {
    loop {
        let heard = hear(subscription).await;
        if heard.starts_with("end") {
            return heard;
        }
    }
}

/// One that is live, once there is a server that takes it.
pub(crate) async fn subscribe_again(node: &RedisTransport) -> Subscription {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match within("subscribe", node.subscribe()).await {
            Ok(subscription) => return subscription,
            Err(error) if Instant::now() > deadline => panic!("expected to subscribe: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Publishes until a frame is taken.
pub(crate) async fn publish_again(node: &RedisTransport, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = publish(node, text).await {
        assert!(Instant::now() < deadline, "expected to publish: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Any other client of the server.
pub(crate) async fn client(to: SocketAddr) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://{to}")).unwrap();
    let connecting = client.get_multiplexed_async_connection();
    within("connect", connecting).await.unwrap()
}

/// A command by any other client, its words apart.
pub(crate) async fn command(to: SocketAddr, line: &str) -> Result<Value, RedisError> {
    let mut words = line.split_whitespace();
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    let mut client = client(to).await;
    within(line, command.query_async(&mut client)).await
}

/// The answer of a command, as it is written down, once it contains this.
pub(crate) async fn eventually(to: SocketAddr, line: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer: Result<Value, _> = command(to, line).await;
        let answer = match answer {
            Ok(Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
            Ok(Value::VerbatimString { text, .. }) => text,
            other => format!("{other:?}"),
        };
        if answer.contains(expected) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "expected {expected} of {line}, and got {answer}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("expected within {PATIENCE:?}: {what}"))
}
