//! One page: one view of the database.

use std::collections::HashSet;

use invalidation_core::{
    Completeness, Cursor, Error, GapReason, LoggedEntry, Page, Payload, ReadRequest,
};
use invalidation_log_rows::{Column, Columns};
use sqlx::mysql::MySqlRow;

use crate::{
    connection::{Session, integer, text},
    cursor::{Mark, Witness, position},
    database_name::DatabaseName,
    error::from_sqlx,
    header::{self, Found, Header, foreign_tables, no_meta, settle},
    stamp::{BATCH, MOST_AHEAD, Unstamped, any_of, nobody_stamps, stamp},
};

/// All statements of one message share the view that the first of them makes.
const BEGIN: &str =
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION READ ONLY;\n";

/// The rows behind a number, then those of given ids that have none yet: at most as many bytes as asked for, and one row
/// more than asked for, which tells that there are more. A row above 16 MiB is not fetched; it widens (`P11`).
const ROWS: &str = "SELECT 'row', r.id, r.seq, r.nonce, r.cache, r.scope,
    CASE WHEN OCTET_LENGTH(r.items) <= 16777216 THEN r.items END, p.fetched
FROM (
    SELECT o.seq, o.slot, o.id, COUNT(*) OVER () AS fetched, ROW_NUMBER() OVER place AS number,
        SUM(o.bytes) OVER place - o.bytes AS bytes_before
    FROM (
        (
            SELECT a.seq, a.slot, a.id, OCTET_LENGTH(a.items) AS bytes
            FROM {d}.cache_invalidation_log AS a FORCE INDEX (PRIMARY)
            WHERE a.seq > {seq} ORDER BY a.seq LIMIT {rows}
        ) UNION ALL (
            SELECT b.seq, b.slot, b.id, OCTET_LENGTH(b.items) FROM {d}.cache_invalidation_log AS b FORCE INDEX (PRIMARY)
            WHERE b.seq = 0 AND {unstamped}
        )
    ) AS o
    WINDOW place AS (ORDER BY o.seq = 0, o.seq, o.id)
) AS p STRAIGHT_JOIN {d}.cache_invalidation_log AS r FORCE INDEX (PRIMARY)
    ON r.seq = p.seq AND r.slot = p.slot AND r.id = p.id
WHERE p.number = 1 OR p.bytes_before < {bytes}
ORDER BY p.number;
";

/// Committed rows without a number. In the order of the key, so that the first of very many are found at once; more than
/// fit are so stamped in the order of each connection, not of each node.
const UNSTAMPED: &str = "SELECT 'unstamped', u.slot, u.id
FROM {d}.cache_invalidation_log AS u FORCE INDEX (PRIMARY)
WHERE u.seq = 0 AND u.id > 0 LIMIT {rows};
";

/// Those of given rows that have no number.
const STUCK: &str =
    "SELECT 'unstamped', u.slot, u.id FROM {d}.cache_invalidation_log AS u FORCE INDEX (PRIMARY)
WHERE u.seq = 0 AND {unstamped};
";

/// How often a state that has to be settled first is found in one call.
const ATTEMPTS: u32 = 3;

/// Reads the page after `request.after`.
///
/// The first look finds most often that nothing came. Where it finds rows without a number they are stamped, and a second
/// look returns them. What was committed before the first look has a number in the second one, or is returned without it:
/// so the page is complete as of its start, whether the stamping succeeded or not (`P4`).
pub(crate) async fn page(
    session: &mut Session,
    database: &DatabaseName,
    request: &ReadRequest<'_>,
) -> Result<(Page, Header), Error> {
    const OPERATION: &str = "read";
    let Some(mark) = Mark::from_cursor(request.after) else {
        return expired(session, database, request, GapReason::CursorUnreadable).await;
    };
    let witness = mark.witness.map(|witness| witness.seq);
    let limit = request.max_entries.max(1);
    let known = mark.ahead.len();
    let rows = |unstamped: &[Unstamped]| {
        database
            .sql(ROWS)
            .replace("{seq}", &mark.seq.to_string())
            .replace(
                "{rows}",
                &(limit.saturating_add(1 + known)).min(1 << 40).to_string(),
            )
            .replace("{unstamped}", &any_of("b", unstamped))
            .replace("{bytes}", &request.max_bytes.to_string())
    };
    let fetch = BATCH + known;
    let unstamped = database
        .sql(UNSTAMPED)
        .replace("{rows}", &(fetch + 1).to_string());
    let first = rows(&[]) + &unstamped;
    let (header, found) = ask(OPERATION, session, database, witness, &first).await?;
    if let Some(reason) = header.gap(&mark) {
        return expired(session, database, request, reason).await;
    }
    let mut unstamped = unstamped_of(&found);
    let is_all = unstamped.len() <= fetch;
    let reading = Reading::of(&header, &mark, limit, &found)?;
    if reading.is_cut || (is_all && unstamped.iter().all(|row| mark.ahead.contains(&row.id))) {
        if !reading.is_cut && is_all && !reading.accounts_for(&mark, &unstamped) {
            return expired(session, database, request, GapReason::EntriesLost).await;
        }
        if !reading.is_cut && !unstamped.is_empty() {
            stamp(OPERATION, session, database, &unstamped).await?;
        }
        return match reading.page(request) {
            Ok(page) => Ok((page, header)),
            Err(reason) => expired(session, database, request, reason).await,
        };
    }
    unstamped.truncate(fetch);
    stamp(OPERATION, session, database, &unstamped).await?;

    let (header, found) = ask(OPERATION, session, database, witness, &rows(&unstamped)).await?;
    if let Some(reason) = header.gap(&mark) {
        return expired(session, database, request, reason).await;
    }
    let mut reading = Reading::of(&header, &mark, limit, &found)?;
    if reading.next.ahead.len() > MOST_AHEAD {
        return Err(nobody_stamps(OPERATION));
    }
    // What did not fit into the first look is behind its last row.
    reading.is_cut |= !is_all;
    match reading.page(request) {
        Ok(page) => Ok((page, header)),
        Err(reason) => expired(session, database, request, reason).await,
    }
}

/// The cursor behind everything that is committed when it is asked for.
pub(crate) async fn head(
    operation: &'static str,
    session: &mut Session,
    database: &DatabaseName,
) -> Result<(Cursor, Header), Error> {
    loop {
        let unstamped = database
            .sql(UNSTAMPED)
            .replace("{rows}", &(MOST_AHEAD + 1).to_string());
        let (header, found) = ask(operation, session, database, None, &unstamped).await?;
        let mut unstamped = unstamped_of(&found);
        if unstamped.is_empty() {
            return Ok((header.mark().to_cursor(), header));
        }
        let is_all = unstamped.len() <= MOST_AHEAD;
        unstamped.truncate(MOST_AHEAD);
        stamp(operation, session, database, &unstamped).await?;
        let stuck = database
            .sql(STUCK)
            .replace("{unstamped}", &any_of("u", &unstamped));
        let (header, found) = ask(operation, session, database, None, &stuck).await?;
        let stuck = unstamped_of(&found);
        if is_all {
            let mut mark = header.mark();
            mark.ahead = stuck.iter().map(|row| row.id).collect();
            return Ok((mark.to_cursor(), header));
        }
        if stuck.len() == MOST_AHEAD {
            return Err(nobody_stamps(operation));
        }
    }
}

/// The header as it is now.
pub(crate) async fn known(
    operation: &'static str,
    session: &mut Session,
    database: &DatabaseName,
) -> Result<Header, Error> {
    let (header, _) = ask(operation, session, database, None, "").await?;
    Ok(header)
}

async fn expired(
    session: &mut Session,
    database: &DatabaseName,
    request: &ReadRequest<'_>,
    reason: GapReason,
) -> Result<(Page, Header), Error> {
    let (next, header) = head("read", session, database).await?;
    let as_of = request.started;
    Ok((
        Page::Expired {
            next,
            as_of,
            reason,
        },
        header,
    ))
}

/// Asks for the header and more in one view, and again when the epoch had to be written anew first.
async fn ask(
    operation: &'static str,
    session: &mut Session,
    database: &DatabaseName,
    witness: Option<i64>,
    more: &str,
) -> Result<(Header, Vec<MySqlRow>), Error> {
    for _ in 0..ATTEMPTS {
        let sql = [
            BEGIN,
            &header::sql(database, session, witness),
            more,
            "COMMIT",
        ]
        .concat();
        let answer = session.transact(sql).await.and_then(|done| done);
        let mut rows = answer.map_err(|e| from_sqlx(operation, e))?;
        let at = rows.iter().position(|row| text(row, 0) == Some("header"));
        let row = rows.remove(at.ok_or_else(|| no_meta(operation))?);
        match header::parse(operation, session, &row)? {
            Found::Header(header) => {
                session.is_known = true;
                return Ok((header, rows));
            }
            Found::Moved(moved) => settle(operation, session, database, &moved).await?,
        }
    }
    Err(crate::error::error(
        invalidation_core::ErrorKind::Unavailable,
        operation,
        "the log finds itself on another server again and again: let the URL lead to one primary, without a proxy that \
         picks another server for each statement",
    ))
}

fn unstamped_of(rows: &[MySqlRow]) -> Vec<Unstamped> {
    let unstamped = rows.iter().filter(|row| text(row, 0) == Some("unstamped"));
    let row = |row| {
        Some(Unstamped {
            slot: integer(row, 1)?,
            id: integer(row, 2)?,
        })
    };
    unstamped.filter_map(row).collect()
}

/// What one look returns.
struct Reading {
    entries: Vec<LoggedEntry>,
    next: Mark,
    /// Whether there is more.
    is_cut: bool,
    /// Whether a number is missing among those that were met.
    has_hole: bool,
    /// The highest number that was given.
    counter: i64,
    /// Rows of the cursor's `ahead` that have a number now.
    met: HashSet<i64>,
}

impl Reading {
    fn of(header: &Header, mark: &Mark, limit: usize, rows: &[MySqlRow]) -> Result<Self, Error> {
        let identity = header.epoch.to_word();
        let ahead: HashSet<i64> = mark.ahead.iter().copied().collect();
        let mut reading = Self {
            entries: Vec::new(),
            next: mark.clone(),
            is_cut: false,
            has_hole: false,
            counter: header.counter,
            met: HashSet::new(),
        };
        let mut stuck = Vec::new();
        let mut passed = 0;
        let mut fetched = 0;
        for row in rows.iter().filter(|row| text(row, 0) == Some("row")) {
            let unreadable = || foreign_tables("read");
            let id = integer(row, 1).ok_or_else(unreadable)?;
            let count = integer(row, 7).ok_or_else(unreadable)?;
            fetched = usize::try_from(count).unwrap_or(usize::MAX);
            let is_new = !ahead.contains(&id);
            if is_new && reading.entries.len() == limit {
                break;
            }
            passed += 1;
            let nonce = integer(row, 3);
            match integer(row, 2).filter(|&seq| seq != 0) {
                // Numbers are dense: each has a row, or that was deleted by hand.
                Some(seq) => {
                    reading.has_hole |= reading.next.seq.checked_add(1) != Some(seq);
                    reading.next.seq = seq;
                    let nonce = nonce.unwrap_or_default();
                    reading.next.witness = Some(Witness { seq, nonce });
                    if !is_new {
                        reading.met.insert(id);
                    }
                }
                None if is_new => stuck.push(id),
                None => {}
            }
            if is_new {
                reading.next.pass(nonce.unwrap_or_default());
                reading.entries.push(LoggedEntry {
                    position: position(identity.clone(), nonce.unwrap_or_default()),
                    payload: payload(row, nonce),
                });
            }
        }
        reading.is_cut = passed < fetched;
        reading.next.ahead.retain(|id| !reading.met.contains(id));
        reading.next.ahead.extend(stuck);
        Ok(reading)
    }

    /// Whether each row that was read before it had a number has one now, or still none.
    fn accounts_for(&self, mark: &Mark, unstamped: &[Unstamped]) -> bool {
        let is_there =
            |id: &i64| self.met.contains(id) || unstamped.iter().any(|row| row.id == *id);
        mark.ahead.iter().all(is_there)
    }

    /// The page, or why there is none.
    fn page(self, request: &ReadRequest<'_>) -> Result<Page, GapReason> {
        // At the end of a look that was not cut short the last number that was given must have been met.
        let has_end = self.is_cut || self.next.seq == self.counter;
        if self.has_hole || !has_end {
            return Err(GapReason::EntriesLost);
        }
        let complete = if self.is_cut {
            Completeness::Partial
        } else {
            // Each look is a view of its own, and what this one lacks was committed after the read began.
            Completeness::AsOf(request.started)
        };
        Ok(Page::Entries {
            entries: self.entries,
            next: self.next.to_cursor(),
            complete,
        })
    }
}

fn payload(row: &MySqlRow, nonce: Option<i64>) -> Payload {
    Columns {
        nonce: nonce.into(),
        cache: text(row, 4).into(),
        scope: text(row, 5).into(),
        items: text(row, 6).map_or(Column::Other("too large or no text"), Column::Text),
    }
    .decode()
}
