//! One node: a process that caches the table, reads it all the time, and does what the parent asks.

mod ledger;
mod readers;
mod table;
mod watches;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use cache_invalidation::{Node, NodeBuilder, http::HttpTransport, postgres::PgTransport};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use self::{
    ledger::Ledger,
    table::{Afterwards, Table},
    watches::Watches,
};
use crate::{
    home::{Broker, Home, Rows},
    protocol::{Numbered, Reply, Request, Status},
    proxy::Way,
};

/// The cache's `max_staleness`: what every read is held to.
pub(crate) const BOUND: Duration = Duration::from_secs(1);
/// How often the log is read when nothing else asks for it.
pub(crate) const POLL: Duration = Duration::from_millis(500);
/// The TTL, the last line of defence; no act waits for it.
pub(crate) const TTL: Duration = Duration::from_secs(60);
/// The name of the cache.
pub(crate) const CACHE: &str = "items";
/// The name of the cluster.
pub(crate) const CLUSTER: &str = "quickstart";
/// Where the secret of the fan-out stands; other processes see a command line, but not this.
pub(crate) const SECRET: &str = "QUICKSTART_SECRET";

/// Tasks that read at the same time.
const READERS: usize = 2;

/// Where the rows and the log are, as JSON with URLs; for the same reason.
pub(crate) const HOME: &str = "QUICKSTART_HOME";
/// Which broker carries the frames, if one does.
pub(crate) const FRAMES: &str = "QUICKSTART_FRAMES";

/// What a node process is told at its start.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// The SQLite file of the rows by another name, for the log alone.
    #[arg(long)]
    log: Option<PathBuf>,
    /// A way to the server of the log, for the log alone.
    #[arg(long)]
    log_through: Option<SocketAddr>,
    /// A way to the server that carries frames; else they go by HTTP.
    #[arg(long)]
    frames_through: Option<SocketAddr>,
    /// The other nodes.
    #[arg(long)]
    peer: Vec<SocketAddr>,
}

/// What stands in a variable as JSON.
fn told<T: DeserializeOwned>(variable: &str) -> anyhow::Result<Option<T>> {
    let text = std::env::var(variable).ok();
    let value = text.map(|text| serde_json::from_str(&text)).transpose();
    value.with_context(|| format!("{variable} cannot be read"))
}

/// With its transport, and where that listens.
fn with_transport(
    node: NodeBuilder,
    home: &Home,
    args: &NodeArgs,
) -> anyhow::Result<(NodeBuilder, u16)> {
    if let Some(way) = args.frames_through.map(Way::Proxy) {
        if let Some(broker) = told::<Broker>(FRAMES)? {
            return Ok((broker.with_transport(node, Some(&way))?, 0));
        }
        let Rows::Postgres(home) = &home.rows else {
            bail!("there is nobody to carry the frames");
        };
        // A cluster for each run, on a server that several may share.
        let frames = PgTransport::builder(&home.schema);
        let frames = frames.connect_options(home.through(Some(&way))?);
        return Ok((node.transport(frames.build()?), 0));
    }
    let secret = std::env::var(SECRET).with_context(|| format!("{SECRET} is not set"))?;
    let http = HttpTransport::builder(CLUSTER)
        .listen((Ipv4Addr::LOCALHOST, 0).into())
        .peers(args.peer.iter().map(ToString::to_string))
        .secret(secret)
        .build()?;
    let address = http.local_addr();
    let address = address.context("the transport does not listen")?;
    Ok((node.transport(http), address.port()))
}

/// Runs a node until the parent closes its standard input.
pub(crate) async fn run(args: &NodeArgs) -> anyhow::Result<()> {
    die_with_the_parent();
    let (replies, mut outgoing) = mpsc::channel::<Numbered<Reply>>(64);
    // Standard output is blocking: a thread of its own keeps it off the runtime.
    let printing = std::thread::spawn(move || {
        while let Some(reply) = outgoing.blocking_recv() {
            print(&reply);
        }
    });
    let served = match Served::start(args).await {
        Ok((served, port)) => {
            let ready = Reply::Ready { port };
            let _ = replies.send(numbered(0, ready)).await;
            served
        }
        Err(error) => {
            let failed = Reply::Failed(format!("{error:#}"));
            let _ = replies.send(numbered(0, failed)).await;
            drop(replies);
            let _ = printing.join();
            return Err(error);
        }
    };
    let served = Arc::new(served);
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let request: Numbered<Request> = serde_json::from_str(&line)?;
        let (served, replies) = (served.clone(), replies.clone());
        tokio::spawn(async move {
            let reply = served.answer(request.number, request.body).await;
            let reply = reply.unwrap_or_else(|error| Reply::Failed(format!("{error:#}")));
            // The parent may be gone.
            let _ = replies.send(numbered(request.number, reply)).await;
        });
    }
    served.stop.cancel();
    Ok(served.node.shutdown(Duration::from_secs(1)).await?)
}

struct Served {
    node: Node,
    table: Arc<Table>,
    ledger: Arc<Ledger>,
    watches: Watches,
    stop: CancellationToken,
    readers: tokio::sync::Mutex<tokio::task::JoinSet<()>>,
}

impl Served {
    /// The whole of what a service does to be a node, and the readers.
    async fn start(args: &NodeArgs) -> anyhow::Result<(Self, u16)> {
        let home: Home = told(HOME)?.context("a node needs a database")?;
        let way = match (&args.log, args.log_through) {
            (Some(file), _) => Some(Way::File(file.clone())),
            (None, proxy) => proxy.map(Way::Proxy),
        };
        let node = Node::builder(CLUSTER).poll_interval(POLL);
        let node = home.with_log(node, way.as_ref()).await?;
        let (node, port) = with_transport(node, &home, args)?;
        let node = node.start().await?;
        let cache = node
            .cache(CACHE)
            .capacity(10_000)
            .ttl(TTL)
            .max_staleness(BOUND)
            .build()?;

        let table = Arc::new(Table {
            node: node.clone(),
            database: home.open().await?,
            cache,
            log_joins: home.broker.is_none(),
            loads: 0.into(),
        });
        let (ledger, stop) = (Arc::new(Ledger::default()), CancellationToken::new());
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..READERS {
            readers.spawn(readers::read_on(
                table.clone(),
                ledger.clone(),
                stop.clone(),
            ));
        }
        let served = Self {
            node,
            table,
            ledger,
            watches: Watches::default(),
            stop,
            readers: readers.into(),
        };
        Ok((served, port))
    }

    async fn answer(&self, number: u64, request: Request) -> anyhow::Result<Reply> {
        let table = &self.table;
        Ok(match request {
            Request::Write { key } => {
                Reply::Committed(table.write(key, Afterwards::Publish).await?)
            }
            Request::WriteAndDie { key } => {
                Reply::Committed(table.write(key, Afterwards::Die(number)).await?)
            }
            Request::Watch {
                key,
                version,
                pause_us,
            } => {
                let pause = Duration::from_micros(pause_us);
                self.watches
                    .start(self.node.clone(), table.clone(), (key, version), pause)
                    .await?;
                Reply::Watching
            }
            Request::Seen { key, version } => Reply::Seen(self.watches.seen(key, version).await?),
            Request::Reads => Reply::Reads(self.ledger.report()),
            Request::StopReading => {
                self.stop.cancel();
                while let Some(ended) = self.readers.lock().await.join_next().await {
                    ended.context("a reader failed")?;
                }
                Reply::Reads(self.ledger.report())
            }
            Request::ReadsAfter {
                key,
                version,
                after,
            } => Reply::Count(self.ledger.reads_after(key, version, after)),
            Request::Status => Reply::Status(self.status()),
        })
    }

    fn status(&self) -> Status {
        let age = self.node.log_age();
        Status {
            log_age_ms: age.and_then(|age| u64::try_from(age.as_millis()).ok()),
            bypassed: self.table.cache.stats().bypassed,
            loads: self.table.loads.load(Ordering::Relaxed),
        }
    }
}

fn numbered(number: u64, body: Reply) -> Numbered<Reply> {
    Numbered { number, body }
}

fn print(reply: &Numbered<Reply>) {
    use std::io::Write;
    if let Ok(line) = serde_json::to_string(reply) {
        // Should the parent be gone, there is nobody to tell.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

/// A node also ends when its standard input does, but not while it is stopped, or when the parent was killed at
/// that moment.
fn die_with_the_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        tracing::warn!(%error, "this node may outlive its parent");
    }
}
