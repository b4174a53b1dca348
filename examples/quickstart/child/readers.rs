//! Continuous reads, each recorded.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::{
    Table,
    ledger::{Ledger, Read},
};
use crate::{
    clock::now,
    database::{HOT_ROWS, ROWS},
};

/// Reads between two pauses.
const BATCH: usize = 40;
/// Long enough that three nodes leave room for everything else on a small machine.
const PAUSE: Duration = Duration::from_millis(5);

/// Reads random rows until `stop`, as fast as is polite.
pub(crate) async fn read_on(table: Arc<Table>, ledger: Arc<Ledger>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    while !stop.is_cancelled() {
        for _ in 0..BATCH {
            let key = some_key();
            // Before the cache looks at anything: staleness counts from here (`P3`).
            let started = now();
            match table.get(key).await {
                Ok(item) if item.is_whole(key) => batch.push(Read {
                    key,
                    version: item.version,
                    started,
                    ended: now(),
                }),
                Ok(item) => ledger.fault(format!("a read of row {key} gave {item:?}")),
                Err(error) => ledger.fault(format!("a read of row {key} failed: {error}")),
            }
        }
        ledger.record(batch.drain(..));
        tokio::time::sleep(PAUSE).await;
    }
}

/// Half of the reads go to the rows that are written.
fn some_key() -> i64 {
    let mut random = rand::rng();
    let rows = if random.random() { HOT_ROWS } else { ROWS };
    random.random_range(1..=rows)
}
