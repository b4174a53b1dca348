//! What a node costs that does nothing.

use std::time::{Duration, Instant};

use cache_invalidation::{Cache, Node, sqlite::SqliteLog};

use crate::{
    report::{Bound, Figure, Report, median},
    rss::cpu_time,
    setup::{CLUSTER, MAX_STALENESS, free_port, runtime, transport},
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);

/// A node as it runs in a service: a SQLite log, HTTP with a peer, a cache with a lease.
pub(crate) fn run() -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.db");
    let mut fractions = runtime()?.block_on(async {
        let (own, absent) = (free_port()?, free_port()?);
        let log = SqliteLog::open(&path).await?;
        let node = Node::builder(CLUSTER)
            .log(log)
            .transport(transport(own, absent)?)
            .start()
            .await?;
        let _cache: Cache<u64, u64> = node.cache("idle").max_staleness(MAX_STALENESS).build()?;
        let mut fractions = Vec::new();
        for _ in 0..ROUNDS {
            let (start, before) = (Instant::now(), cpu_time());
            tokio::time::sleep(ROUND).await;
            fractions.push((cpu_time() - before).div_duration_f64(start.elapsed()));
        }
        anyhow::Ok(fractions)
    })?;
    let fraction = median(&mut fractions);
    let mut report = Report::new("idle");
    report.row(
        "a node with SQLite log, HTTP and a lease",
        None,
        Figure::Fraction(fraction),
    );
    report.target("idle_core_fraction", fraction, Bound::AtMost(0.005));
    Ok(report)
}
