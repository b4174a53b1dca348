//! A REST service with a database table, a cache before it, and as many instances as you like.
//!
//! ```sh
//! export INVALIDATION_SECRET=$(head -c 32 /dev/urandom | base64)
//! # One instance, and in another shell a second one on the same database (and with the same secret):
//! cargo run --example axum_service -- --listen 127.0.0.1:3000 --peer http://127.0.0.1:3001/internal
//! cargo run --example axum_service -- --listen 127.0.0.1:3001 --peer http://127.0.0.1:3000/internal
//! # A write to one is seen by the next read of the other:
//! curl -X PUT localhost:3000/users/1 -H 'content-type: application/json' -d '{"name":"Ada","email":"ada@example.org"}'
//! curl localhost:3001/users/1
//! ```
//!
//! - `users.rs` is the part to learn from: reads through the cache, and writes that invalidate in their own
//!   transaction. `api.rs` is HTTP, `error.rs` what goes wrong in it.
//! - Without `--peer` all of it works as well: the other instances then hear of a write within half a second, from
//!   the log in the database, and no read is ever staler than `--max-staleness`.
//! - `GET /health` tells how fresh the cache is. SIGTERM and Ctrl-C end the service when its requests are answered.

mod api;
mod error;
mod users;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use cache_invalidation::{Node, http::HttpTransport, sqlite::SqliteLog};
use clap::Parser;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{api::Service, users::Users};

/// Where the other instances reach this one's fan-out, below its own address.
const INTERNAL: &str = "/internal";
/// How long requests may take to end once the service is told to.
const DRAIN: Duration = Duration::from_secs(10);

/// A REST service that caches its users.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The database; also of the other instances on this host.
    #[arg(long, default_value = "users.db")]
    database: PathBuf,
    /// Another instance, as http://host:port/internal; may be given more than once.
    #[arg(long)]
    peer: Vec<String>,
    /// What all instances share, so that nobody else can invalidate: at least 16 random bytes.
    #[arg(long, env = "INVALIDATION_SECRET", hide_env_values = true)]
    secret: String,
    /// The most that a read may be stale, in milliseconds, whatever fails.
    #[arg(long, default_value_t = 2_000)]
    max_staleness: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let max_staleness = Duration::from_millis(args.max_staleness);

    let pool = users::open(&args.database).await?;
    // The log lives in the service's own database, so that a write and its invalidation commit together.
    let log = SqliteLog::open(&args.database).await?;
    // No listener of its own: it answers as part of this service, under INTERNAL.
    let http = HttpTransport::builder("users-service")
        .peers(args.peer)
        .secret(args.secret)
        .build()?;
    let fan_out = http.router();
    let node = Node::builder("users-service")
        .log(log)
        .transport(http)
        .start()
        .await?;
    let users = Users::new(pool.clone(), &node, max_staleness)?;

    let service = Arc::new(Service {
        users,
        node: node.clone(),
        max_staleness,
    });
    let app = api::router(service).nest(INTERNAL, fan_out);
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    serve(listener, app).await?;

    // After the last request: until then writes are still to be published.
    node.shutdown(Duration::from_secs(5)).await?;
    pool.close().await;
    tracing::info!("ended");
    Ok(())
}

/// Serves until SIGTERM or Ctrl-C, and then until every request is answered, or [`DRAIN`] is over.
async fn serve(listener: TcpListener, app: Router) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("ending");
        told.cancel();
    });
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        () = overdue => tracing::warn!("some requests took too long, and are dropped"),
    }
    Ok(())
}
