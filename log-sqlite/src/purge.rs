//! Deleting what every reader has long passed, without standing in the way of writers.

use std::time::{Duration, Instant};

use invalidation_core::{Error, Purged};
use sqlx::{Connection, Row, SqliteConnection};

use crate::{
    connection::Missing,
    error::{breaks_connection, from_sqlx},
    log::Shared,
};

const OPERATION: &str = "purge";

/// Rows deleted in one transaction: it holds the database's only write lock for a few milliseconds.
const CHUNK: i64 = 500;

/// A row stamped further ahead than this was stamped by a clock that has since been set back.
const CLOCK_SLACK: i64 = 60;

/// The last row of the oldest `?1` that all are expired, and how many these are; never the newest row.
///
/// A row is kept when it is younger than `?2` seconds. One from the future counts as expired, or a clock
/// that was once ahead would stop the purge until it is caught up; deleting early costs a flush at most.
const EXPIRED: &str = "
WITH oldest AS MATERIALIZED (
    SELECT id, nonce, at FROM main.cache_invalidation_log ORDER BY id LIMIT ?1
), kept AS (
    SELECT min(id) AS id FROM oldest
    WHERE at >= CAST(strftime('%s', 'now') AS INTEGER) - ?2
      AND at <= CAST(strftime('%s', 'now') AS INTEGER) + ?3
)
SELECT id, CAST(nonce AS INTEGER) FROM oldest
WHERE id < (SELECT max(id) FROM main.cache_invalidation_log)
  AND id < coalesce((SELECT id FROM kept), 9223372036854775807)
ORDER BY id DESC LIMIT 1";

pub(crate) async fn purge(shared: &Shared, retention: Duration) -> Result<Purged, Error> {
    let seconds = seconds(retention);
    let mut total = 0;
    loop {
        let began = Instant::now();
        let mut slot = shared.writer.lock().await;
        shared.check_open(OPERATION)?;
        let handle = slot.ready(OPERATION, Missing::Refuse).await?;
        let deleted = match chunk(&mut handle.connection, seconds).await {
            Ok(deleted) => deleted,
            Err(e) => {
                if breaks_connection(&e) {
                    slot.discard();
                }
                return Err(from_sqlx(OPERATION, e));
            }
        };
        drop(slot);
        total += deleted;
        if deleted == 0 {
            return Ok(Purged::new(total));
        }
        // SQLite hands its lock to nobody: who waits for it asks again after up to 100 ms. Longer off than
        // on, so that business writers get their turn (`P16`).
        tokio::time::sleep(began.elapsed().max(Duration::from_millis(5)) * 2).await;
    }
}

/// Whole seconds, rounded up, as that is how finely rows are stamped. Below zero for a retention of zero,
/// which keeps nothing that may go.
fn seconds(retention: Duration) -> i64 {
    if retention.is_zero() {
        return -CLOCK_SLACK - 1;
    }
    let rounded = retention
        .as_secs()
        .saturating_add((retention.subsec_nanos() > 0).into());
    // Clocks count from 1970: four thousand years are for ever.
    rounded.min(1 << 37).cast_signed()
}

async fn chunk(connection: &mut SqliteConnection, seconds: i64) -> Result<u64, sqlx::Error> {
    // Looked up before the lock is taken: an idle log is never locked for nothing.
    if expired(connection, seconds).await?.is_none() {
        return Ok(0);
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let Some((last, nonce)) = expired(&mut transaction, seconds).await? else {
        return Ok(0);
    };
    // Before the rows go, and in the same transaction: a reader sees both or neither (`P13`).
    sqlx::query("UPDATE main.cache_invalidation_meta SET floor = ?1, floor_nonce = ?2")
        .bind(last)
        .bind(nonce)
        .execute(&mut *transaction)
        .await?;
    let deleted = sqlx::query("DELETE FROM main.cache_invalidation_log WHERE id <= ?1")
        .bind(last)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    transaction.commit().await?;
    Ok(deleted)
}

async fn expired(
    connection: &mut SqliteConnection,
    seconds: i64,
) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let row = sqlx::query(EXPIRED)
        .bind(CHUNK)
        .bind(seconds)
        .bind(CLOCK_SLACK)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}
