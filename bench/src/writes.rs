//! Business transactions a second, without invalidation and with several kinds of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cache_invalidation::{Cache, Node, postgres::PgLog};
use rand::RngExt as _;
use sqlx::{Connection as _, PgConnection, postgres::PgListener};
use tokio::task::JoinSet;

use crate::{
    database::{Database, run as run_sql},
    report::{Bound, Figure, Report, median},
    setup::{CLUSTER, MAX_STALENESS, TTL, runtime},
};

const CLIENTS: [usize; 3] = [1, 4, 16];
const ROUNDS: usize = 5;
/// How long each kind writes in each round.
const TURN: Duration = Duration::from_millis(1_500);
/// A disk that keeps what it is told to keeps one busy for that long, or longer where it is reached over a network. One that
/// answers within a fraction of it holds the data in a memory that survives, or pretends to, and then what waits behind
/// a flush costs nothing, such as the lock of NOTIFY: so each kind is measured both ways.
const SLOW_FLUSH: Duration = Duration::from_millis(1);
const ACCOUNTS: i64 = 10_000;
const CHANNEL: &str = "changes";

const TABLES: &str = "
CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO account SELECT n, 0 FROM generate_series(1, 10000) AS n;
CREATE TABLE change (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account bigint NOT NULL,
    what text NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE counter (one boolean PRIMARY KEY, n bigint NOT NULL);
INSERT INTO counter VALUES (true, 0);
VACUUM ANALYZE account, change, counter";

/// What the transaction does besides its one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// One more row, as an audit trail or an outbox has it, with one index.
    Insert,
    /// `invalidate_in` of one key, and its `commit`.
    Invalidation,
    Notify,
    /// A row that all transactions change.
    Counter,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Plain, "one update"),
    (Kind::Insert, "and a plain insert"),
    (Kind::Invalidation, "and our invalidation"),
    (Kind::Notify, "and pg_notify within it"),
    (Kind::Counter, "and a shared counter row"),
];

pub(crate) fn run() -> anyhow::Result<Report> {
    let runtime = runtime()?;
    runtime.block_on(runtime.spawn(measure()))?
}

async fn measure() -> anyhow::Result<Report> {
    let database = Database::start().await?;
    for table in TABLES.split(';') {
        run_sql(&mut database.connect().await?, table).await?;
    }
    let log = PgLog::connect(&database.url()).await?;
    let node = Node::builder(CLUSTER).log(log).start().await?;
    let cache = node
        .cache("accounts")
        .capacity(ACCOUNTS as u64)
        .ttl(TTL)
        .max_staleness(MAX_STALENESS)
        .build()?;
    // What is notified is heard by somebody.
    let mut listener = PgListener::connect(&database.url()).await?;
    listener.listen(CHANNEL).await?;
    let hearing = tokio::spawn(async move { while listener.recv().await.is_ok() {} });

    let mut report = Report::new("writes");
    let flush = database.flush_nanos()?;
    let row = "what this disk takes to keep 8 kB (fdatasync)";
    report.row(row, None, Figure::Nanos(flush));
    let as_it_is = CLIENTS.map(|clients| (clients, None));
    for (clients, delay) in as_it_is.into_iter().chain([(16, Some(SLOW_FLUSH))]) {
        database.delay_flushes(delay).await?;
        let on = delay.map_or(String::new(), |delay| format!(", {delay:?} more a flush"));
        let mut bench = Bench::start(&database, &cache, clients).await?;
        for (kind, _) in KINDS {
            bench.turn(kind).await?; // Warm.
        }
        let mut rates = KINDS.map(|_| Vec::new());
        let mut costs = KINDS.map(|_| Vec::new());
        for round in 0..ROUNDS {
            for step in 0..KINDS.len() {
                let at = (round + step) % KINDS.len();
                let before = database.cpu_seconds()?;
                let (transactions, seconds) = bench.turn(KINDS[at].0).await?;
                rates[at].push(transactions / seconds);
                costs[at].push((database.cpu_seconds()? - before) * 1e9 / transactions);
            }
        }
        for (((_, name), rates), costs) in KINDS.iter().zip(&mut rates).zip(&mut costs) {
            let name = format!("{clients} client(s){on}, {name}");
            let (rate, cost) = (median(rates), median(costs));
            report.row(&name, None, Figure::PerSecond(rate));
            report.row(format!("{name}, server's time"), None, Figure::Nanos(cost));
        }
        if clients == 16 {
            let on = if delay.is_some() { "_slow_flush" } else { "" };
            let [_, insert, ours, notify, _] = &rates;
            for (name, peer, least) in [
                ("tps_vs_plain_insert_16c", insert, 0.9),
                ("tps_vs_notify_16c", notify, 3.0),
            ] {
                let mut ratios: Vec<_> = ours.iter().zip(peer).map(|(a, b)| a / b).collect();
                report.target(
                    format!("{name}{on}"),
                    median(&mut ratios),
                    Bound::AtLeast(least),
                );
            }
        }
    }
    hearing.abort();
    node.shutdown(Duration::from_secs(5)).await?;
    Ok(report)
}

/// The clients, each with a connection of its own.
struct Bench {
    clients: Vec<PgConnection>,
    cache: Cache<i64, Arc<()>>,
}

impl Bench {
    async fn start(
        database: &Database,
        cache: &Cache<i64, Arc<()>>,
        clients: usize,
    ) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(database.connect().await?);
        }
        Ok(Self {
            clients: connections,
            cache: cache.clone(),
        })
    }

    /// How many transactions all clients together did, and in how many seconds.
    async fn turn(&mut self, kind: Kind) -> anyhow::Result<(f64, f64)> {
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for mut connection in self.clients.drain(..) {
            let cache = self.cache.clone();
            clients.spawn(async move {
                let mut transactions = 0_u32;
                while start.elapsed() < TURN {
                    transaction(&mut connection, &cache, kind).await?;
                    transactions += 1;
                }
                anyhow::Ok((connection, transactions))
            });
        }
        let mut total = 0;
        while let Some(client) = clients.join_next().await {
            let (connection, transactions) = client??;
            self.clients.push(connection);
            total += transactions;
        }
        Ok((f64::from(total), start.elapsed().as_secs_f64()))
    }
}

async fn transaction(
    connection: &mut PgConnection,
    cache: &Cache<i64, Arc<()>>,
    kind: Kind,
) -> anyhow::Result<()> {
    let account = rand::rng().random_range(1..=ACCOUNTS);
    let mut tx = connection.begin().await?;
    sqlx::query("UPDATE account SET balance = balance + 1 WHERE id = $1")
        .bind(account)
        .execute(&mut *tx)
        .await?;
    match kind {
        Kind::Plain => {}
        Kind::Insert => {
            sqlx::query("INSERT INTO change (account, what) VALUES ($1, $2)")
                .bind(account)
                .bind("the balance was changed")
                .execute(&mut *tx)
                .await?;
        }
        Kind::Invalidation => {
            let pending = cache.invalidate_in(&mut tx, [&account]).await?;
            drop(pending.commit(tx.commit()).await?);
            return Ok(());
        }
        Kind::Notify => {
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(account.to_string())
                .execute(&mut *tx)
                .await?;
        }
        Kind::Counter => {
            sqlx::query("UPDATE counter SET n = n + 1")
                .execute(&mut *tx)
                .await?;
        }
    }
    tx.commit().await?;
    Ok(())
}
