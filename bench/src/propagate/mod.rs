//! From the call of `invalidate` to the entry gone on another node, beside a bare POST.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use bytes::Bytes;
use cache_invalidation::{Cache, MemoryLog, SharedLog, sqlite::SqliteLog};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use invalidation_core::frame::{Carried, Envelope, Message, Standing, encode};
use tokio::{net::TcpStream, sync::mpsc};

use crate::{
    report::{Bound, Figure, Report, median, quantile},
    setup::{CLUSTER, MAX_STALENESS, TTL, runtime, two_nodes},
};

const ROUNDS: usize = 9;
const OPS: usize = 1_000;
/// As the real use does: back to back, and idle for a moment between operations, differ.
const PACE: Duration = Duration::from_millis(1);

pub(crate) fn run() -> anyhow::Result<Report> {
    let runtime = runtime()?;
    // Spawned: the future of `block_on` itself runs off the workers.
    runtime.block_on(runtime.spawn(measure()))?
}

async fn measure() -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let log = MemoryLog::new();
    let mut on_memory = Path::start([Arc::new(log.connect()), Arc::new(log)]).await?;
    let file = folder.path().join("log.db");
    let logs = [SqliteLog::open(&file).await?, SqliteLog::open(&file).await?];
    let mut on_sqlite = Path::start(logs.map(|log| Arc::new(log) as SharedLog)).await?;
    let mut bare = Bare::start().await?;
    let (mut memory, mut sqlite, mut post) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..=ROUNDS {
        let measured = (
            bare.round().await?,
            on_memory.round().await?,
            on_sqlite.round().await?,
        );
        if round == 0 {
            continue; // Warm.
        }
        post.add(measured.0);
        memory.add(measured.1);
        sqlite.add(measured.2);
    }
    let mut report = Report::new("propagate");
    for (name, rounds) in [
        ("bare POST, round trip", &mut post),
        ("HTTP, memory log, until gone", &mut memory),
        ("HTTP, SQLite log, until gone", &mut sqlite),
    ] {
        let (p50, p99) = (median(&mut rounds.p50), median(&mut rounds.p99));
        report.row(format!("{name}, p50"), None, Figure::Nanos(p50));
        report.row(format!("{name}, p99"), None, Figure::Nanos(p99));
    }
    let ratio = |ours: &mut [f64], peer: &mut [f64]| median(ours) / median(peer);
    report.target(
        "http_p50_vs_post",
        ratio(&mut memory.p50, &mut post.p50),
        Bound::AtMost(1.5),
    );
    report.target(
        "http_p99_vs_post",
        ratio(&mut memory.p99, &mut post.p99),
        Bound::AtMost(2.0),
    );
    Ok(report)
}

#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Rounds {
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
    async fn start(logs: [SharedLog; 2]) -> anyhow::Result<Self> {
        let nodes = two_nodes(logs).await?;
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

/// One keep-alive connection to a server that takes a body and answers 200.
struct Bare {
    sender: http1::SendRequest<Full<Bytes>>,
    body: Bytes,
    authority: String,
}

impl Bare {
    async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new().route("/", post(async |body: Bytes| drop(body)));
        tokio::spawn(async move {
            let nodelay = axum::serve::ListenerExt::tap_io(listener, |io: &mut TcpStream| {
                // A delayed answer would only make the peer look worse.
                let _ = io.set_nodelay(true);
            });
            axum::serve(nodelay, app).await
        });
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            body: frame()?,
            authority: address.to_string(),
        })
    }

    async fn round(&mut self) -> anyhow::Result<Vec<f64>> {
        let mut nanos = Vec::with_capacity(OPS);
        for _ in 0..OPS {
            tokio::time::sleep(PACE).await;
            let start = Instant::now();
            self.sender.ready().await?;
            let request = Request::post("/")
                .header(hyper::header::HOST, &self.authority)
                .body(Full::new(self.body.clone()))?;
            let response = self.sender.send_request(request).await?;
            anyhow::ensure!(response.status().is_success(), "{}", response.status());
            response.into_body().collect().await?;
            nanos.push(start.elapsed().as_nanos() as f64);
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
