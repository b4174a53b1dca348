//! A node that was away, and reads all that it missed.

use std::time::Instant;

use cache_invalidation::InvalidationLog as _;
use sqlx::PgConnection;

use super::{fill, open, poll};
use crate::{
    database::Database,
    report::{Bound, Figure, Report},
    rss::resident,
};

const ROWS: u64 = 1_000_000;

pub(super) async fn measure(
    database: &Database,
    admin: &mut PgConnection,
    schema: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let log = open(&database.url(), schema).await?;
    let mut cursor = log.head().await?;
    fill(admin, schema, ROWS).await?;
    let (before, start) = (resident()?, Instant::now());
    let (mut most, mut rows, mut number) = (before, 0, 1);
    loop {
        let found = poll(&log, &mut cursor, number).await?;
        if found == 0 {
            break;
        }
        rows += found as u64;
        number += 1;
        most = most.max(resident()?);
    }
    let seconds = start.elapsed().as_secs_f64();
    anyhow::ensure!(rows == ROWS, "{rows} of {ROWS} rows");
    let grown = most.saturating_sub(before);
    report.row(
        "catch-up of 1 M rows, memory grown by",
        None,
        Figure::Bytes(grown as f64),
    );
    report.target("catchup_1m_s", seconds, Bound::AtMost(10.0));
    Ok(())
}
