//! What many nodes cost the server that poll and find nothing.

use std::time::Duration;

use cache_invalidation::{InvalidationLog as _, postgres::PgLog};
use tokio::{task::JoinSet, time::Instant};

use super::poll;
use crate::{
    database::Database,
    report::{Bound, Figure, Report},
};

const NODES: [u32; 3] = [1, 50, 500];
const EVERY: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(20);

pub(super) async fn measure(
    database: &Database,
    schema: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    for nodes in NODES {
        let fraction = fraction(database, schema, nodes).await?;
        report.row(
            format!("server's core for {nodes} idle node(s)"),
            None,
            Figure::Fraction(fraction),
        );
        if nodes == 500 {
            report.target(
                "poll_500_nodes_core_fraction",
                fraction,
                Bound::AtMost(0.25),
            );
        }
    }
    Ok(())
}

/// Of one core of the server, above what it uses beside nobody.
async fn fraction(database: &Database, schema: &str, nodes: u32) -> anyhow::Result<f64> {
    let mut logs = Vec::new();
    for _ in 0..nodes {
        let log = PgLog::builder(&database.url())
            .schema(schema)
            .connect()
            .await?;
        let cursor = log.head().await?;
        logs.push((log, cursor));
    }
    let begin = Instant::now() + Duration::from_secs(1);
    let end = begin + Duration::from_secs(2) + MEASURED + EVERY * 2;
    let mut polling = JoinSet::new();
    for (node, (log, mut cursor)) in (0..nodes).zip(logs) {
        polling.spawn(async move {
            // Spread over the interval, as nodes that started at any time are.
            let mut at = begin + EVERY * node / nodes;
            let mut number = 0;
            while at < end {
                tokio::time::sleep_until(at).await;
                number += 1;
                poll(&log, &mut cursor, number).await?;
                at += EVERY;
            }
            anyhow::Ok(())
        });
    }
    // The first polls of a session are planned.
    tokio::time::sleep_until(begin + Duration::from_secs(2)).await;
    let (before, start) = (database.cpu_seconds()?, Instant::now());
    tokio::time::sleep(MEASURED).await;
    let fraction = (database.cpu_seconds()? - before) / start.elapsed().as_secs_f64();
    while let Some(ended) = polling.join_next().await {
        ended??;
    }
    Ok(fraction)
}
