//! From the call of `invalidate` to the entry gone on another node, beside the bare carrier.

mod beside;
#[cfg(feature = "etcd")]
mod etcd;
mod http;
mod nats;
mod notify;
mod redis;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cache_invalidation::{Cache, SharedLog, SharedTransport};
use clap::ValueEnum;
use invalidation_core::frame::{Carried, Envelope, Message, Standing, encode};
use tokio::sync::mpsc;

use crate::{
    report::{Bound, Figure, Report, median, quantile},
    setup::{CLUSTER, MAX_STALENESS, TTL, runtime, two_nodes},
};

const ROUNDS: usize = 9;
const OPS: usize = 1_000;
/// As the real use does: back to back, and idle for a moment between operations, differ.
const PACE: Duration = Duration::from_millis(1);

/// What carries the frames.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Carrier {
    /// HTTP fan-out, beside a bare POST.
    Http,
    /// LISTEN and NOTIFY of PostgreSQL, beside a bare NOTIFY.
    Pg,
    /// Pub/Sub of Redis, beside a bare client.
    Redis,
    /// Core subjects of NATS, beside a bare client.
    Nats,
    /// Watches of etcd, beside a bare client. Needs the feature `etcd`, and that `protoc`.
    #[cfg(feature = "etcd")]
    Etcd,
}

pub(crate) fn run(carrier: Carrier) -> anyhow::Result<Report> {
    let runtime = runtime()?;
    // Spawned: the future of `block_on` itself runs off the workers.
    runtime.block_on(async {
        match carrier {
            Carrier::Http => runtime.spawn(http::measure()).await?,
            Carrier::Pg => runtime.spawn(notify::measure()).await?,
            Carrier::Redis => runtime.spawn(redis::measure()).await?,
            Carrier::Nats => runtime.spawn(nats::measure()).await?,
            #[cfg(feature = "etcd")]
            Carrier::Etcd => runtime.spawn(etcd::measure()).await?,
        }
    })
}

/// Says how `ours` stands to `peer`: the ratio of the medians of the rounds.
fn ratio(ours: &mut [f64], peer: &mut [f64]) -> f64 {
    median(ours) / median(peer)
}

#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Rounds {
    /// Rows of the median of the rounds.
    fn rows(&mut self, name: &str, report: &mut Report) {
        for (quantile, values) in [("p50", &mut self.p50), ("p99", &mut self.p99)] {
            let nanos = Figure::Nanos(median(values));
            report.row(format!("{name}, {quantile}"), None, nanos);
        }
    }

    fn add(&mut self, mut nanos: Vec<f64>) {
        self.p50.push(quantile(&mut nanos, 0.5));
        self.p99.push(quantile(&mut nanos, 0.99));
    }
}

/// Tells when it is dropped: an entry is gone when the cache no longer holds its value.
struct Tell(mpsc::UnboundedSender<Instant>);

impl Drop for Tell {
    fn drop(&mut self) {
        // The bench is over when nobody listens.
        let _ = self.0.send(Instant::now());
    }
}

/// Two nodes, and what the second one holds.
struct Path {
    writer: Cache<u64, Arc<Tell>>,
    reader: Cache<u64, Arc<Tell>>,
    tell: mpsc::UnboundedSender<Instant>,
    gone: mpsc::UnboundedReceiver<Instant>,
    _nodes: (cache_invalidation::Node, cache_invalidation::Node),
}

impl Path {
    async fn start(logs: [SharedLog; 2], transports: [SharedTransport; 2]) -> anyhow::Result<Self> {
        let nodes = two_nodes(logs, transports).await?;
        let cache = |node: &cache_invalidation::Node| {
            node.cache("propagate")
                .capacity(1_000)
                .ttl(TTL)
                .max_staleness(MAX_STALENESS)
                .build()
        };
        let (writer, reader) = (cache(&nodes.0)?, cache(&nodes.1)?);
        let (tell, gone) = mpsc::unbounded_channel();
        Ok(Self {
            writer,
            reader,
            tell,
            gone,
            _nodes: nodes,
        })
    }

    async fn round(&mut self) -> anyhow::Result<Vec<f64>> {
        let mut nanos = Vec::with_capacity(OPS);
        for key in 0..OPS as u64 {
            let tell = self.tell.clone();
            drop(
                self.reader
                    .get_or_load(&key, || async { anyhow::Ok(Arc::new(Tell(tell))) })
                    .await?,
            );
            tokio::time::sleep(PACE).await;
            let start = Instant::now();
            drop(self.writer.invalidate(&key).await?);
            let gone = self
                .gone
                .recv()
                .await
                .ok_or_else(|| anyhow::anyhow!("nobody tells"))?;
            nanos.push(gone.duration_since(start).as_nanos() as f64);
        }
        Ok(nanos)
    }
}

/// The body that our own path carries.
fn frame() -> anyhow::Result<Bytes> {
    let invalidation = cache_invalidation::Invalidation::Cache {
        cache: "propagate".parse()?,
        scope: cache_invalidation::Scope::keys(["500"]),
    };
    let entry = cache_invalidation::Entry::new(invalidation);
    Ok(encode(&Envelope {
        cluster: CLUSTER.parse()?,
        origin: cache_invalidation::NodeId::random(),
        sequence: 500,
        message: Message::Invalidations(vec![Carried {
            entry,
            standing: Standing::Proven(None),
        }]),
    }))
}
