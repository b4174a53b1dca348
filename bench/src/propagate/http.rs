//! HTTP fan-out, beside one POST on a connection that is kept.

use std::{sync::Arc, time::Instant};

use axum::{Router, routing::post};
use bytes::Bytes;
use cache_invalidation::{MemoryLog, SharedLog, SharedTransport, sqlite::SqliteLog};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Bound, OPS, PACE, Path, ROUNDS, Report, Rounds, frame, ratio};
use crate::setup::pair;

pub(super) async fn measure() -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let log = MemoryLog::new();
    let mut on_memory =
        Path::start([Arc::new(log.connect()), Arc::new(log)], transports()?).await?;
    let file = folder.path().join("log.db");
    let logs = [SqliteLog::open(&file).await?, SqliteLog::open(&file).await?];
    let mut on_sqlite =
        Path::start(logs.map(|log| Arc::new(log) as SharedLog), transports()?).await?;
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
        rounds.rows(name, &mut report);
    }
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

fn transports() -> anyhow::Result<[SharedTransport; 2]> {
    let (a, b) = pair()?;
    Ok([Arc::new(a), Arc::new(b)])
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
