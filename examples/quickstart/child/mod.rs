//! One node: a process that caches the table, reads it all the time, and does what the parent asks.

mod ledger;
mod readers;
mod table;
mod watches;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use cache_invalidation::{
    Node, NodeBuilder,
    http::HttpTransport,
    postgres::{PgLog, PgTransport},
    sqlite::SqliteLog,
};
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
    home::{Home, PostgresHome},
    protocol::{Numbered, Reply, Request, Status},
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

/// Where the URL of the database stands, for the same reason.
pub(crate) const URL: &str = "QUICKSTART_URL";

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Carrier {
    /// HTTP fan-out on loopback.
    Http,
    /// LISTEN and NOTIFY of the log's database.
    Postgres,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP fan-out on loopback",
            Self::Postgres => "LISTEN and NOTIFY",
        })
    }
}

/// What a node process is told at its start.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// The SQLite file, as the rows are read and written; else it is a PostgreSQL database.
    #[arg(long)]
    database: Option<PathBuf>,
    /// The same file by another name, for the log alone.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The schema in the PostgreSQL database.
    #[arg(long)]
    schema: Option<String>,
    /// A way to that database, for the log alone.
    #[arg(long)]
    log_through: Option<SocketAddr>,
    /// A way to that database, for frames alone; else they go by HTTP.
    #[arg(long)]
    frames_through: Option<SocketAddr>,
    /// The other nodes.
    #[arg(long)]
    peer: Vec<SocketAddr>,
}

impl NodeArgs {
    fn home(&self) -> anyhow::Result<Home> {
        match (&self.database, &self.schema) {
            (Some(file), _) => Ok(Home::Sqlite(file.clone())),
            (None, Some(schema)) => Ok(Home::Postgres(PostgresHome {
                url: std::env::var(URL).with_context(|| format!("{URL} is not set"))?,
                schema: schema.clone(),
            })),
            (None, None) => bail!("a node needs a database"),
        }
    }
}

/// A node with its log, over the way that can be taken from it.
async fn with_log(node: NodeBuilder, home: &Home, args: &NodeArgs) -> anyhow::Result<NodeBuilder> {
    Ok(match home {
        Home::Sqlite(file) => node.log(SqliteLog::open(args.log.as_ref().unwrap_or(file)).await?),
        Home::Postgres(home) => {
            let options = match args.log_through {
                Some(way) => home.through(way)?,
                None => home.options()?,
            };
            let log = PgLog::with_options(options).schema(&home.schema);
            node.log(log.connect().await?)
        }
    })
}

/// With its transport, and where that listens.
fn with_transport(
    node: NodeBuilder,
    home: &Home,
    args: &NodeArgs,
) -> anyhow::Result<(NodeBuilder, u16)> {
    if let (Home::Postgres(home), Some(way)) = (home, args.frames_through) {
        // A cluster for each run, on a server that several may share.
        let frames = PgTransport::builder(&home.schema).connect_options(home.through(way)?);
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
        let home = args.home()?;
        let node = with_log(Node::builder(CLUSTER).poll_interval(POLL), &home, args).await?;
        let (node, port) = with_transport(node, &home, args)?;
        let node = node.start().await?;
        let cache = node
            .cache(CACHE)
            .capacity(10_000)
            .ttl(TTL)
            .max_staleness(BOUND)
            .build()?;

        let table = Arc::new(Table {
            database: home.open().await?,
            cache,
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
