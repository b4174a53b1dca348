//! Three nodes, one database, and everything that can go wrong, in half a minute.
//!
//! ```sh
//! cargo run --release --example quickstart            # six acts, and a table
//! cargo run --release --example quickstart -- --json  # one JSON object on standard output
//! cargo run --release --example quickstart -- --log postgres://app@localhost/test   # on a PostgreSQL of yours
//! cargo run --release --example quickstart -- --log … --transport postgres          # with LISTEN and NOTIFY
//! cargo run --release --example quickstart -- --log mysql://app@localhost           # on a MySQL or MariaDB of yours
//! cargo run --release --example quickstart --features redis -- --log redis://localhost --transport redis
//! ```
//!
//! It starts three node processes (itself, executed again) on one SQLite file, or in a schema or database of its own on
//! the server that is named, which it takes out at its end. A broker (Redis, NATS, etcd; each behind a feature of its name)
//! holds the log or carries the frames, and the rows stay in the file. Each caches its rows, reads them all
//! the time and writes to them, as three instances of a service would; `child/` is what such a service does. The
//! parent cuts the network between them, kills, stops and blinds them, and in the end judges every single read by
//! what was committed. Exit status 1 if one was staler than `max_staleness`.

mod acts;
mod carrier;
mod child;
mod clock;
mod cluster;
mod database;
mod history;
mod home;
mod measure;
mod observe;
mod process;
mod protocol;
mod proxy;
mod report;
mod show;
mod stage;

use std::{
    fs,
    io::{ErrorKind, Write, stdout},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    carrier::Choice,
    child::{BOUND, NodeArgs},
    home::Home,
    report::Report,
    show::Pace,
    stage::Stage,
};

/// Three nodes keep their caches coherent while the network is cut, a writer is killed, a node is stopped, and the
/// database is made unreadable. `RUST_LOG=info` shows what the nodes say about it.
#[derive(Debug, Parser)]
#[command(name = "quickstart", version)]
struct Args {
    /// Print one JSON object on standard output, and everything else on standard error.
    #[arg(long)]
    json: bool,
    /// Rows and log in this database: postgres://USER@HOST:PORT/DATABASE, by a user who may make a schema, or
    /// mysql://USER@HOST:PORT, by one who may make a database. Or the log alone in a broker: redis://HOST:PORT,
    /// nats://HOST:PORT, etcd://HOST:PORT. The log's links go through proxies of this program, whose certificate
    /// sslmode=verify-full would not find. Default: an SQLite file.
    #[arg(long, env = "QUICKSTART_LOG", hide_env_values = true)]
    log: Option<String>,
    /// What carries the frames: http, postgres (of the log's database), redis, nats or etcd (of the log), or the URL of a
    /// broker.
    #[arg(
        long,
        env = "QUICKSTART_TRANSPORT",
        hide_env_values = true,
        default_value = "http"
    )]
    transport: String,
    /// Every act, with few writes.
    #[arg(long, hide = true)]
    short: bool,
    /// Judge the reads by another bound than the nodes keep: shows that the judge finds what it looks for.
    #[arg(long, hide = true)]
    judge_by_ms: Option<u64>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be one of the nodes.
    #[command(hide = true)]
    Node(NodeArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let outcome = match &args.role {
        Some(Role::Node(node)) => child::run(node).await.map(|()| ExitCode::SUCCESS),
        None => Box::pin(perform(&args)).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("quickstart: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whatever ends it, the nodes are killed and the folder is removed when this returns.
async fn perform(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new()
        .prefix("cache-invalidation-quickstart-")
        .tempdir()?;
    let home = Home::of(args.log.as_deref(), folder.path())?;
    let carrier = args.transport.parse::<Choice>()?.at(&home)?;
    let frames = carrier.clone();
    let pace = if args.short { Pace::SHORT } else { Pace::FULL };
    let bound = args.judge_by_ms.map_or(BOUND, Duration::from_millis);
    let (mut interrupt, mut terminate, mut hang_up) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    // Every arm drops the show, and with it its nodes.
    let outcome = tokio::select! {
        report = show::run(Stage::new(args.json), pace, bound, (&home, carrier), folder.path()) => {
            report.and_then(|report| tell(&report, args.json))
        }
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
        _ = hang_up.recv() => Ok(ExitCode::from(129)),
    };
    remove(&folder).await;
    let razed = home.raze().await;
    let swept = frames.raze(&home).await;
    let exit = outcome?;
    razed.and(swept).map(|()| exit)
}

/// A node that was killed a moment ago may still have made a file while its folder was being emptied.
async fn remove(folder: &TempDir) {
    for _ in 0..50 {
        match fs::remove_dir_all(folder.path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            _ => return,
        }
    }
}

/// Prints the outcome; the exit code.
fn tell(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        eprintln!("{}", report.text());
        writeln!(stdout(), "{}", report.json()?)?;
    } else {
        writeln!(stdout(), "{}", report.text())?;
    }
    for failure in report.failures() {
        eprintln!("FAILED: {failure}");
    }
    Ok(match report.failures() {
        [] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
