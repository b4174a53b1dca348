//! What a poll of the log in PostgreSQL costs, beside `SELECT 1` on a connection of the same kind.

mod catch_up;
mod fleet;

use std::time::{Duration, Instant};

use cache_invalidation::{
    Cursor, Entry, Invalidation, InvalidationLog, Page, ReadRequest, ReadStart, Scope, Tick,
    postgres::PgLog,
};
use sqlx::{Executor as _, PgConnection, raw_sql};

use crate::{
    database::{Database, connect, run as run_sql, url},
    report::{Bound, Figure, Report, median, quantile},
    setup::runtime,
};

/// Each log is in a schema of its own, so that all are measured in turns.
const LENGTHS: [(&str, u64); 3] = [
    ("log_10k", 10_000),
    ("log_1m", 1_000_000),
    ("log_10m", 10_000_000),
];
const ROUNDS: usize = 9;
const OPS: usize = 300;
/// As a node does: a poll finds its connection idle.
const PACE: Duration = Duration::from_millis(1);
const BUSY: u64 = 10;

pub(crate) fn run() -> anyhow::Result<Report> {
    let runtime = runtime()?;
    runtime.block_on(runtime.spawn(measure()))?
}

async fn measure() -> anyhow::Result<Report> {
    let database = Database::start().await?;
    let pooler = database.pooler().await?;
    let mut admin = database.connect().await?;
    let mut peers = Vec::new();
    for (schema, rows) in LENGTHS {
        let log = open(&database.url(), schema).await?;
        fill(&mut admin, schema, rows).await?;
        peers.push(Peer::log(format!("idle poll of {rows} rows"), log).await?);
    }
    run_sql(&mut admin, "CHECKPOINT").await?;
    let (short, middle) = (LENGTHS[0].0, LENGTHS[1].0);
    let pooled = open(&url(&pooler), short).await?;
    peers.push(Peer::log("idle poll through a pooler", pooled).await?);
    peers.push(
        Peer::log(
            "idle poll beside an open writer",
            open(&database.url(), middle).await?,
        )
        .await?,
    );
    peers.push(Peer::select("SELECT 1", database.connect().await?, true));
    peers.push(Peer::select(
        "SELECT 1 through a pooler",
        connect(&url(&pooler)).await?,
        false,
    ));

    let mut p50s: Vec<Vec<f64>> = peers.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        for (peer, p50s) in peers.iter_mut().zip(&mut p50s) {
            // It holds up only those who poll beside it.
            let writer = if peer.name.contains("open writer") {
                Some(open_writer(&database, middle).await?)
            } else {
                None
            };
            let p50 = peer.round().await?;
            drop(writer);
            if round > 0 {
                p50s.push(p50); // The first one warms.
            }
        }
    }
    let mut report = Report::new("poll");
    for (peer, p50s) in peers.iter().zip(&mut p50s) {
        report.row(
            format!("{}, p50", peer.name),
            None,
            Figure::Nanos(median(p50s)),
        );
    }
    let ratio = |ours: usize, peer: usize| {
        let mut ratios: Vec<_> = p50s[ours]
            .iter()
            .zip(&p50s[peer])
            .map(|(a, b)| a / b)
            .collect();
        median(&mut ratios)
    };
    let [ten_k, _, ten_m, through, beside, select, select_through] = [0, 1, 2, 3, 4, 5, 6];
    report.target(
        "poll_idle_vs_select1",
        ratio(ten_k, select),
        Bound::AtMost(3.0),
    );
    report.target(
        "poll_pooler_vs_select1",
        ratio(through, select_through),
        Bound::AtMost(3.0),
    );
    report.target("poll_10m_vs_10k", ratio(ten_m, ten_k), Bound::AtMost(1.3));
    report.target(
        "poll_open_writer_vs_idle",
        ratio(beside, 1),
        Bound::AtMost(1.3),
    );
    drop(peers);

    let busy = busy(&database, short).await?;
    report.row(
        format!("poll that returns {BUSY} rows, p50"),
        None,
        Figure::Nanos(busy),
    );
    catch_up::measure(&database, &mut admin, middle, &mut report).await?;
    fleet::measure(&database, short, &mut report).await?;
    Ok(report)
}

async fn open(url: &str, schema: &str) -> anyhow::Result<PgLog> {
    let log = PgLog::builder(url).schema(schema).connect().await?;
    log.install().await?;
    Ok(log)
}

/// Appends by many transactions, as a life of writing does.
async fn fill(admin: &mut PgConnection, schema: &str, rows: u64) -> anyhow::Result<()> {
    let chunk = (rows / 100).max(100);
    let insert = format!(
        "INSERT INTO {schema}.log (cache, scope, items)
        SELECT 'users', 'keys', '[\"' || n || '\"]' FROM generate_series(1, {chunk}) AS n"
    );
    for _ in 0..rows / chunk {
        run_sql(admin, &insert).await?;
    }
    run_sql(admin, &format!("VACUUM ANALYZE {schema}.log")).await
}

/// A transaction that has appended, and stays open beside many that committed since.
async fn open_writer(database: &Database, schema: &str) -> anyhow::Result<PgConnection> {
    let mut writer = database.connect().await?;
    let insert = format!("INSERT INTO {schema}.log (cache, scope) VALUES ('users', 'all')");
    run_sql(&mut writer, "BEGIN").await?;
    run_sql(&mut writer, &insert).await?;
    let mut others = database.connect().await?;
    for _ in 0..100 {
        run_sql(&mut others, &insert).await?;
    }
    Ok(writer)
}

/// One who asks, and what he asks.
struct Peer {
    name: String,
    asks: Asks,
}

enum Asks {
    Log {
        log: PgLog,
        cursor: Cursor,
        number: u64,
    },
    Select {
        connection: PgConnection,
        prepared: bool,
    },
}

impl Peer {
    async fn log(name: impl Into<String>, log: PgLog) -> anyhow::Result<Self> {
        let cursor = log.head().await?;
        Ok(Self {
            name: name.into(),
            asks: Asks::Log {
                log,
                cursor,
                number: 0,
            },
        })
    }

    fn select(name: &str, connection: PgConnection, prepared: bool) -> Self {
        Self {
            name: name.into(),
            asks: Asks::Select {
                connection,
                prepared,
            },
        }
    }

    /// The median of one round, in nanoseconds.
    async fn round(&mut self) -> anyhow::Result<f64> {
        if let Asks::Log {
            log,
            cursor,
            number,
        } = &mut self.asks
        {
            // What others appended since.
            *number += drain(log, cursor).await?;
        }
        let mut nanos = Vec::with_capacity(OPS);
        for _ in 0..OPS {
            tokio::time::sleep(PACE).await;
            let start = Instant::now();
            match &mut self.asks {
                Asks::Log {
                    log,
                    cursor,
                    number,
                } => {
                    *number += 1;
                    let found = poll(log, cursor, *number).await?;
                    anyhow::ensure!(found == 0, "an idle poll returned {found} rows");
                }
                Asks::Select {
                    connection,
                    prepared: true,
                } => {
                    drop(connection.fetch_all(sqlx::query("SELECT 1")).await?);
                }
                Asks::Select {
                    connection,
                    prepared: false,
                } => {
                    drop(connection.fetch_all(raw_sql("SELECT 1")).await?);
                }
            }
            nanos.push(start.elapsed().as_nanos() as f64);
        }
        Ok(quantile(&mut nanos, 0.5))
    }
}

/// One page; how many rows it had.
async fn poll(log: &PgLog, cursor: &mut Cursor, number: u64) -> anyhow::Result<usize> {
    let started = ReadStart::new(Tick::from_nanos(number), number);
    match log.read(ReadRequest::new(cursor, started)).await? {
        Page::Entries { entries, next, .. } => {
            *cursor = next;
            Ok(entries.len())
        }
        other => anyhow::bail!("{other:?}"),
    }
}

/// Reads until a page is empty; how many pages there were.
async fn drain(log: &PgLog, cursor: &mut Cursor) -> anyhow::Result<u64> {
    let mut pages = 1;
    while poll(log, cursor, pages).await? > 0 {
        pages += 1;
    }
    Ok(pages)
}

async fn busy(database: &Database, schema: &str) -> anyhow::Result<f64> {
    let (reader, writer) = (
        open(&database.url(), schema).await?,
        open(&database.url(), schema).await?,
    );
    let mut cursor = reader.head().await?;
    let mut nanos = Vec::with_capacity(OPS);
    for number in 1..=OPS as u64 {
        let entries: Vec<_> = (0..BUSY)
            .map(|n| entry(n * number))
            .collect::<Result<_, _>>()?;
        writer.append(&entries).await?;
        let start = Instant::now();
        let found = poll(&reader, &mut cursor, number).await?;
        nanos.push(start.elapsed().as_nanos() as f64);
        anyhow::ensure!(found == BUSY as usize, "{found} rows");
    }
    Ok(median(&mut nanos))
}

fn entry(key: u64) -> anyhow::Result<Entry> {
    Ok(Entry::new(Invalidation::Cache {
        cache: "users".parse()?,
        scope: Scope::keys([key.to_string()]),
    }))
}
