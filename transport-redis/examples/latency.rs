//! From publish to receive, beside the bare client on the same server: `latency redis://127.0.0.1:6379 [PAIRS]`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it is run by hand"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use invalidation_core::{CacheInvalidationTransport as _, Outgoing, Signal};
use invalidation_transport_redis::RedisTransport;
use tokio::sync::mpsc;

const PAUSE: Duration = Duration::from_millis(1);
const WARM_UP: usize = 500;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap();
    let pairs = arguments
        .next()
        .map_or(5_000, |number| number.parse().unwrap());
    // Off the runtime's own thread, which is no worker.
    tokio::spawn(async move {
        for _ in 0..3 {
            report("bare", bare(&url, pairs).await);
            report("ours", ours(&url, pairs).await);
        }
    })
    .await
    .unwrap();
}

fn report(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |part: f64| took[(took.len() as f64 * part) as usize];
    println!("{name}: p50 {:?}, p99 {:?}", at(0.5), at(0.99));
}

/// The driver's own: one connection publishes, another listens.
async fn bare(url: &str, pairs: usize) -> Vec<Duration> {
    let client = redis::Client::open(url).unwrap();
    let mut publisher = client.get_multiplexed_async_connection().await.unwrap();
    let (mut sink, mut stream) = client.get_async_pubsub().await.unwrap().split();
    sink.subscribe("bare").await.unwrap();
    let (heard, mut received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while stream.next().await.is_some() {
            if heard.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let payload = vec![7_u8; 100];
    let mut took = Vec::new();
    for n in 0..pairs + WARM_UP {
        let begun = Instant::now();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg("bare").arg(&payload);
        let _: i64 = publish.query_async(&mut publisher).await.unwrap();
        let at = received.recv().await.unwrap();
        if n >= WARM_UP {
            took.push(at - begun);
        }
        tokio::time::sleep(PAUSE).await;
    }
    took
}

async fn ours(url: &str, pairs: usize) -> Vec<Duration> {
    let node = || RedisTransport::builder("latency").url(url).build().unwrap();
    let (publisher, listener) = (Arc::new(node()), node());
    let mut subscription = listener.subscribe().await.unwrap();
    let (heard, mut received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(Signal::Frame(_))) = subscription.next().await {
            if heard.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let payload = Bytes::from(vec![7_u8; 100]);
    let mut took = Vec::new();
    for n in 0..pairs + WARM_UP {
        let begun = Instant::now();
        let frame = Outgoing::to_all(payload.clone());
        publisher.publish(frame).await.unwrap();
        let at = received.recv().await.unwrap();
        if n >= WARM_UP {
            took.push(at - begun);
        }
        tokio::time::sleep(PAUSE).await;
    }
    took
}
