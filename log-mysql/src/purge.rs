//! Deleting what every reader has long passed.
//!
//! Retention counts from the stamp, which comes after the commit: the time of an insert would not do, since a
//! transaction may commit long after it.

use std::time::Duration;

use invalidation_core::{Error, Purged};

use crate::{
    connection::{Session, bounded, integer, text},
    error::from_sqlx,
    log::Shared,
    read,
};

const OPERATION: &str = "purge";

/// Rows deleted in one transaction.
const CHUNK: i64 = 1_000;

/// Moves the floor to the last of the oldest rows that are all older than the retention, and deletes what is at or below
/// it: a reader sees both or neither (`P13`). Never the newest row, whose number is the counter's. Nothing where the
/// floor has moved meanwhile: somebody else purges.
///
/// The counter's row is locked as for a stamp, and all is one message, so that a purger that stops holds no lock.
const DELETE: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
START TRANSACTION READ WRITE;
SELECT 'counter', m.counter FROM {d}.cache_invalidation_meta AS m WHERE m.one = 1 FOR UPDATE;
UPDATE (
    SELECT r.seq, r.nonce FROM (
        SELECT c.seq, c.nonce, SUM(c.is_young) OVER (ORDER BY c.seq) AS younger FROM (
            SELECT o.seq, o.nonce, {young} AS is_young
            FROM {d}.cache_invalidation_log AS o FORCE INDEX (PRIMARY)
            WHERE o.seq > {floor} AND o.seq < {counter} ORDER BY o.seq LIMIT {chunk}
        ) AS c
    ) AS r WHERE r.younger = 0 ORDER BY r.seq DESC LIMIT 1
) AS f STRAIGHT_JOIN {d}.cache_invalidation_meta AS m
SET m.floor = f.seq, m.floor_nonce = f.nonce
WHERE m.one = 1 AND m.floor = {floor} AND m.epoch = '{epoch}';
DELETE FROM {d}.cache_invalidation_log WHERE seq > {floor} AND seq <= (
    SELECT f.floor FROM (SELECT m.floor FROM {d}.cache_invalidation_meta AS m WHERE m.one = 1) AS f
);
SELECT 'deleted', ROW_COUNT();
COMMIT";

pub(crate) async fn purge(shared: &Shared, retention: Duration) -> Result<Purged, Error> {
    let mut total = 0;
    loop {
        let limit = shared.settings.write_timeout;
        let deleted = bounded(OPERATION, limit, async {
            let mut slot = shared.writer.lock().await;
            shared.check_open(OPERATION)?;
            let mut session = slot.take(OPERATION).await?;
            let deleted = chunk(shared, &mut session, retention).await?;
            slot.put(session);
            Ok(deleted)
        });
        let deleted = deleted.await?;
        total += deleted.cast_unsigned();
        if deleted < CHUNK {
            return Ok(Purged::new(total));
        }
        // Appends of this handle come in between.
        tokio::task::yield_now().await;
    }
}

async fn chunk(shared: &Shared, session: &mut Session, retention: Duration) -> Result<i64, Error> {
    let database = &shared.settings.database;
    // Stamps what was committed and not read yet.
    let (_, header) = read::head(OPERATION, session, database).await?;
    let sql = database
        .sql(DELETE)
        .replace("{young}", &young(retention))
        .replace("{floor}", &header.floor.to_string())
        .replace("{counter}", &header.counter.to_string())
        .replace("{epoch}", &header.epoch.to_text())
        .replace("{chunk}", &CHUNK.to_string());
    let rows = session.transact(sql).await.and_then(|done| done);
    let rows = rows.map_err(|e| from_sqlx(OPERATION, e))?;
    let row = rows.iter().find(|row| text(row, 0) == Some("deleted"));
    Ok(row.and_then(|row| integer(row, 1)).unwrap_or(0).max(0))
}

/// SQL for whether a row is younger than `retention`.
fn young(retention: Duration) -> String {
    if retention.is_zero() {
        return "FALSE".into();
    }
    // A thousand years are for ever, and within the servers' calendar.
    let microseconds = retention.as_micros().min(30_000_000_000 * 1_000_000);
    format!("o.stamped > UTC_TIMESTAMP(6) - INTERVAL {microseconds} MICROSECOND")
}
