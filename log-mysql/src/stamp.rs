//! Giving committed rows their place in the log.
//!
//! Rows are inserted without a number, since ids are given in another order than transactions commit in. Whoever reads
//! stamps what he finds committed with the next numbers, under a lock on the counter that is held for one message. Only
//! rows that an ordinary read has seen are stamped: their transactions are over for every later read, so nobody meets an
//! entry before the change that it stands for.

use invalidation_core::{Error, ErrorKind};

use crate::{
    connection::Session,
    database_name::DatabaseName,
    error::{from_sqlx, is_denied, is_locked},
};

/// How many rows are stamped in one message.
pub(crate) const BATCH: usize = 2_000;

/// Neither the counter's lock is waited for, which another reader holds, nor a row's: what cannot be stamped now is
/// stamped by the next who reads. READ COMMITTED, because at the servers' default level the locks on an index also keep
/// others from inserting.
///
/// All in one message, so that a reader that stops between two statements holds no lock.
const STAMP: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
START TRANSACTION READ WRITE;
SELECT 'counter', m.counter FROM {d}.cache_invalidation_meta AS m WHERE m.one = 1 FOR UPDATE NOWAIT;
UPDATE (
    SELECT u.slot, u.id, ROW_NUMBER() OVER (ORDER BY u.id) AS place FROM (
        SELECT v.slot, v.id FROM {d}.cache_invalidation_log AS v FORCE INDEX (PRIMARY)
        WHERE v.seq = 0 AND {rows} FOR UPDATE SKIP LOCKED
    ) AS u
) AS n STRAIGHT_JOIN {d}.cache_invalidation_meta AS m STRAIGHT_JOIN {d}.cache_invalidation_log AS l FORCE INDEX (PRIMARY)
SET l.seq = m.counter + n.place, l.stamped = UTC_TIMESTAMP(6)
WHERE m.one = 1 AND l.seq = 0 AND l.slot = n.slot AND l.id = n.id;
UPDATE {d}.cache_invalidation_meta SET counter = counter + ROW_COUNT() WHERE one = 1;
COMMIT";

/// A row without a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unstamped {
    pub(crate) slot: i64,
    pub(crate) id: i64,
}

/// Stamps those of `rows` that can be stamped now. A user who may not leaves it to others.
pub(crate) async fn stamp(
    operation: &'static str,
    session: &mut Session,
    database: &DatabaseName,
    rows: &[Unstamped],
) -> Result<(), Error> {
    let sql = database.sql(STAMP).replace("{rows}", &any_of("v", rows));
    let done = session
        .transact(sql)
        .await
        .map_err(|e| from_sqlx(operation, e))?;
    match done {
        Err(e) if is_locked(&e) || is_denied(&e) => {
            tracing::debug!(error = %e, "rows are left for others to stamp");
            Ok(())
        }
        Err(e) => Err(from_sqlx(operation, e)),
        Ok(_) => Ok(()),
    }
}

/// How many rows may wait for a stamp while they are read all the same.
pub(crate) const MOST_AHEAD: usize = 4_096;

/// What is wrong when nobody stamps.
pub(crate) fn nobody_stamps(operation: &'static str) -> Error {
    crate::error::error(
        ErrorKind::Unavailable,
        operation,
        format!(
            "more than {MOST_AHEAD} committed rows wait for a number: a node whose user may update the tables has to read \
             as well (MySqlLog::grant_sql), and no client may hold a lock on cache_invalidation_meta"
        ),
    )
}

/// SQL for whether a row of a table is one of `rows`, each by its whole key behind the first column.
///
/// Never a range: it looks at the row behind its end as well, which may be that of an open transaction. A look with a lock
/// leaves a lock on it, and if that transaction then goes back to a savepoint, on the gap where others insert (`P16`).
pub(crate) fn any_of(table: &str, rows: &[Unstamped]) -> String {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let slots: Vec<_> = rows
        .chunk_by(|one, other| one.slot == other.slot)
        .map(|rows| {
            let ids: Vec<_> = rows.iter().map(|row| row.id.to_string()).collect();
            let slot = rows[0].slot;
            format!(
                "({table}.slot = {slot} AND {table}.id IN ({}))",
                ids.join(", ")
            )
        })
        .collect();
    if slots.is_empty() {
        return "FALSE".into();
    }
    format!("({})", slots.join(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exactly the rows, by their keys.
    #[test]
    fn rows_are_named_by_their_keys() {
        let of = |rows: &[(i64, i64)]| {
            let rows: Vec<_> = rows
                .iter()
                .map(|&(slot, id)| Unstamped { slot, id })
                .collect();
            any_of("a", &rows)
        };
        assert_eq!(of(&[]), "FALSE");
        assert_eq!(of(&[(3, 7)]), "((a.slot = 3 AND a.id IN (7)))");
        assert_eq!(
            of(&[(2, 4), (1, 3), (1, 2)]),
            "((a.slot = 1 AND a.id IN (2, 3)) OR (a.slot = 2 AND a.id IN (4)))"
        );
    }
}
