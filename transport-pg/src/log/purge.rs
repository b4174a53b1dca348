//! Deleting what every reader has long passed.
//!
//! Retention counts from *visibility*: a tick says what a snapshot saw at a time, and only what a tick older
//! than the retention sees is deleted. The time of an insert would not do, since a transaction may commit long after.

use std::time::Duration;

use invalidation_core::{Error, Purged};

use super::{
    Shared,
    connection::{Session, bounded, text},
    members,
    schema_name::SchemaName,
};

const OPERATION: &str = "purge";

/// Rows deleted in one transaction.
const CHUNK: u64 = 1_000;

/// Who holds it purges, or settles; appends and reads go on beside.
const LOCK: &str = "SELECT 1 FROM {s}.meta FOR UPDATE";

/// A tick, unless there is one that is hardly older.
const TICK: &str = "
INSERT INTO {s}.ticks (at, epoch, snapshot)
SELECT clock_timestamp(), e.epoch, pg_current_snapshot() FROM {s}.epoch AS e
WHERE NOT EXISTS (
    SELECT 1 FROM {s}.ticks AS t
    WHERE t.epoch = e.epoch AND t.at <= clock_timestamp()
        AND t.at > clock_timestamp() - make_interval(secs => {spacing})
)";

/// Deletes the oldest rows that the newest tick of before the retention sees, never the newest row, and changes
/// the floor with it: a reader sees both or neither (`P13`). Ticks of before a crash may see xids that were used
/// again since. Ticks that are of no more use go as well.
const DELETE: &str = "
WITH tick AS MATERIALIZED (
    SELECT t.id, t.snapshot FROM {s}.ticks AS t JOIN {s}.epoch AS e ON e.epoch = t.epoch
    WHERE t.at <= clock_timestamp() - make_interval(secs => {retention})
    ORDER BY t.id DESC LIMIT 1
), newest AS MATERIALIZED (
    SELECT n.xid, n.id FROM {s}.log AS n
    WHERE n.xid < pg_snapshot_xmax(pg_current_snapshot())
    ORDER BY n.xid DESC, n.id DESC LIMIT 1
), old AS MATERIALIZED (
    SELECT o.xid, o.id FROM {s}.log AS o, tick, newest
    WHERE o.xid < pg_snapshot_xmax(tick.snapshot) AND pg_visible_in_snapshot(o.xid, tick.snapshot)
        AND (o.xid, o.id) < (newest.xid, newest.id)
    ORDER BY o.xid, o.id LIMIT {chunk}
), gone AS (
    DELETE FROM {s}.log AS l USING old WHERE l.xid = old.xid AND l.id = old.id
    RETURNING l.xid, l.id, l.nonce
), last AS (
    SELECT g.xid, g.id, g.nonce FROM gone AS g ORDER BY g.xid DESC, g.id DESC LIMIT 1
), floor AS (
    UPDATE {s}.meta AS m SET
        (floor_xid, floor_id, floor_nonce) = (
            SELECT c.xid, c.id, c.nonce FROM (
                SELECT last.xid, last.id, last.nonce
                UNION ALL SELECT m.floor_xid, m.floor_id, m.floor_nonce WHERE m.floor_xid IS NOT NULL
            ) AS c ORDER BY c.xid DESC, c.id DESC LIMIT 1
        ),
        floor_tick = greatest(m.floor_tick, tick.id),
        floor_snapshot = CASE WHEN tick.id < m.floor_tick THEN m.floor_snapshot ELSE tick.snapshot END
    FROM last, tick
), worn AS (
    DELETE FROM {s}.ticks AS t USING tick WHERE t.id < tick.id
)
SELECT count(*)::text FROM gone";

pub(crate) async fn purge(shared: &Shared, retention: Duration) -> Result<Purged, Error> {
    let schema = &shared.settings.schema;
    let mut total = 0;
    loop {
        let limit = shared.settings.write_timeout;
        let deleted = bounded(OPERATION, limit, async {
            let mut slot = shared.writer.lock().await;
            shared.check_open(OPERATION)?;
            let mut session = slot.take(OPERATION).await?;
            let deleted = chunk(&mut session, schema, retention).await?;
            slot.put(session);
            Ok(deleted)
        });
        let deleted = deleted.await?;
        total += deleted;
        if deleted < CHUNK {
            let expired = bounded(OPERATION, limit, async {
                let mut slot = shared.writer.lock().await;
                shared.check_open(OPERATION)?;
                let mut session = slot.take(OPERATION).await?;
                members::purge(&mut session, schema).await?;
                slot.put(session);
                Ok(())
            });
            expired.await?;
            return Ok(Purged::new(total));
        }
        // Appends of this handle come in between.
        tokio::task::yield_now().await;
    }
}

async fn chunk(
    session: &mut Session,
    schema: &SchemaName,
    retention: Duration,
) -> Result<u64, Error> {
    // A thousand years are for ever, and within PostgreSQL's own calendar.
    let seconds = retention.as_secs_f64().min(3e10);
    session.begin(OPERATION).await?;
    session.run(OPERATION, &schema.sql(LOCK)).await?;
    let tick = TICK.replace("{spacing}", &(seconds / 16.0).to_string());
    session.run(OPERATION, &schema.sql(&tick)).await?;
    let delete = DELETE
        .replace("{retention}", &seconds.to_string())
        .replace("{chunk}", &CHUNK.to_string());
    let rows = session.run(OPERATION, &schema.sql(&delete)).await?;
    session.commit(OPERATION).await?;
    let count = rows.first().and_then(|row| text(row, 0));
    Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
}
