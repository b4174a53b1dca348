//! One page: one statement, so one snapshot.

use futures_util::TryStreamExt;
use invalidation_core::{
    Completeness, Cursor, Error, ErrorKind, GapReason, LoggedEntry, Page, ReadRequest,
};
use invalidation_log_rows::Columns;
use sqlx::sqlite::SqliteRow;

use crate::{
    connection::Handle,
    cursor::{Identity, LogId, Mark, Witness, position},
    error::{error, from_sqlx, incompatible},
    schema::check_version,
    stored::stored,
};

/// The header row, then the rows behind `?1`, at most `?2`; the witness is the row `?3`.
///
/// Everything a page depends on is in one statement: identity, floor, witness and rows are of one snapshot, and
/// dropping the future at any point leaves no transaction behind. `nonce` is cast for the witness, since
/// a row may hold any type. A row above 16 MiB is not fetched; it widens (`P11`).
///
/// Ids are dense. SQLite gives an id as the highest that was ever given and one more, and keeps that number in
/// `sqlite_sequence`, in the transaction of the row: what is rolled back gives its ids back. So each id behind the cursor
/// has a row, up to the highest, or that row was deleted by hand (`P1`).
const SQL: &str = "
SELECT 0, m.version, m.log_id, m.floor, m.floor_nonce,
    (SELECT CAST(w.nonce AS INTEGER) FROM main.cache_invalidation_log AS w WHERE w.id = ?3),
    (SELECT n.id FROM main.cache_invalidation_log AS n ORDER BY n.id DESC LIMIT 1),
    (SELECT CAST(n.nonce AS INTEGER) FROM main.cache_invalidation_log AS n ORDER BY n.id DESC LIMIT 1),
    (SELECT s.seq FROM main.sqlite_sequence AS s WHERE s.name = 'cache_invalidation_log'),
    EXISTS (SELECT 1 FROM main.cache_invalidation_log AS o WHERE o.id > ?3 AND o.id <= ?1)
FROM main.cache_invalidation_meta AS m
UNION ALL
SELECT 1, r.id, r.nonce, r.cache, r.scope,
    CASE WHEN octet_length(r.items) <= 16777216 THEN r.items END,
    CAST(r.nonce AS INTEGER), NULL, NULL, NULL
FROM (SELECT * FROM main.cache_invalidation_log WHERE id > ?1 ORDER BY id LIMIT ?2) AS r";

/// The state of the log in the snapshot of one statement.
#[derive(Debug)]
struct Header {
    identity: Identity,
    /// The highest id that was purged, and its nonce.
    floor: i64,
    floor_nonce: Option<i64>,
    /// The nonce of the row that is the cursor's witness.
    witness: Option<i64>,
    newest: Option<Witness>,
    /// The highest id that was ever given.
    highest: i64,
    /// Whether there are rows behind the witness and at or before the cursor, where there were none.
    rows_between: bool,
}

/// Reads the page after `request.after`.
pub(crate) async fn page(
    handle: &mut Handle,
    request: &ReadRequest<'_>,
) -> Result<Result<Page, Error>, sqlx::Error> {
    let mark = Mark::from_cursor(request.after);
    let limit = request.max_entries.max(1);
    // One more than asked for tells whether there are more.
    let fetch = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = sqlx::query(SQL)
        .bind(mark.map_or(i64::MAX, |mark| mark.id))
        .bind(fetch)
        .bind(witness_id(mark.as_ref()))
        .fetch(&mut handle.connection);
    let header = match rows.try_next().await? {
        Some(row) => match header(&row, handle.file) {
            Ok(header) => header,
            Err(e) => return Ok(Err(e)),
        },
        None => return Ok(Err(no_meta("read"))),
    };
    handle.log = Some(header.identity.log);
    let Some(mark) = mark else {
        return Ok(Ok(expired(&header, request, GapReason::CursorUnreadable)));
    };
    if let Some(reason) = header.gap(&mark) {
        return Ok(Ok(expired(&header, request, reason)));
    }

    let identity = header.identity.to_word();
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    let mut last = mark;
    let mut complete = Completeness::AsOf(request.started);
    while let Some(row) = rows.try_next().await? {
        if entries.len() >= limit || (bytes >= request.max_bytes && !entries.is_empty()) {
            complete = Completeness::Partial;
            break;
        }
        let Some(id) = stored(&row, 1).integer() else {
            return Ok(Err(foreign_tables("read")));
        };
        if !last.is_followed_by(id) {
            return Ok(Ok(expired(&header, request, GapReason::EntriesLost)));
        }
        let columns = Columns {
            nonce: stored(&row, 2),
            cache: stored(&row, 3),
            scope: stored(&row, 4),
            items: stored(&row, 5),
        };
        bytes = bytes.saturating_add(columns.items.text().map_or(8, str::len));
        let nonce = stored(&row, 6).integer().unwrap_or_default();
        last = Mark::at(header.identity, Witness { id, nonce });
        entries.push(LoggedEntry {
            position: position(identity.clone(), id),
            payload: columns.decode(),
        });
    }
    if complete != Completeness::Partial && last.id < header.highest {
        return Ok(Ok(expired(&header, request, GapReason::EntriesLost)));
    }
    Ok(Ok(Page::Entries {
        entries,
        next: last.to_cursor(),
        complete,
    }))
}

/// The cursor behind everything that is committed now, and the identity it is of.
pub(crate) async fn head(
    handle: &mut Handle,
    operation: &'static str,
) -> Result<(Cursor, Identity), Error> {
    let row = sqlx::query(SQL)
        .bind(i64::MAX)
        .bind(0_i64)
        .bind(witness_id(None))
        .fetch_optional(&mut handle.connection)
        .await
        .map_err(|e| from_sqlx(operation, e))?
        .ok_or_else(|| no_meta(operation))?;
    let header = header(&row, handle.file)?;
    handle.log = Some(header.identity.log);
    Ok((header.head().to_cursor(), header.identity))
}

impl Header {
    /// Why nothing can be read on from `mark`, if so (`P10`, `P13`).
    fn gap(&self, mark: &Mark) -> Option<GapReason> {
        if !mark.is_of(self.identity) {
            return Some(GapReason::IdentityChanged);
        }
        if mark.id < self.floor {
            return Some(GapReason::Purged);
        }
        let intact = match mark.witness {
            // The row itself may have been purged when it stands right on the floor.
            Some(Witness { id, nonce }) if id == self.floor => {
                self.witness.or(self.floor_nonce) == Some(nonce)
            }
            Some(Witness { nonce, .. }) => self.witness == Some(nonce),
            None => true,
        };
        // Ids are not given twice, unless the log was put back to another state.
        let intact = intact && !self.rows_between && self.highest >= mark.id;
        (!intact).then_some(GapReason::WitnessLost)
    }

    /// Behind every id that was ever given, also when the newest rows were deleted by hand: whoever gets it starts cold, or
    /// has just been told of a gap, and is not told of it again.
    fn head(&self) -> Mark {
        Mark::new(self.identity, self.highest, self.newest)
    }
}

/// The id of the witness; below all ids when there is none.
fn witness_id(mark: Option<&Mark>) -> i64 {
    let witness = mark.and_then(|mark| mark.witness);
    witness.map_or(i64::MIN, |witness| witness.id)
}

fn expired(header: &Header, request: &ReadRequest<'_>, reason: GapReason) -> Page {
    Page::Expired {
        next: header.head().to_cursor(),
        as_of: request.started,
        reason,
    }
}

fn header(row: &SqliteRow, file: crate::file_identity::FileIdentity) -> Result<Header, Error> {
    const OPERATION: &str = "read";
    let integer = |column| stored(row, column).integer();
    if integer(0) != Some(0) {
        return Err(no_meta(OPERATION));
    }
    check_version(OPERATION, integer(1).unwrap_or_default())?;
    let log = stored(row, 2)
        .text()
        .and_then(LogId::parse)
        .ok_or_else(|| foreign_tables(OPERATION))?;
    let floor = integer(3).ok_or_else(|| foreign_tables(OPERATION))?;
    let newest = integer(6).map(|id| Witness {
        id,
        nonce: integer(7).unwrap_or_default(),
    });
    // SQLite's own count lags behind the rows after `INSERT OR FAIL`, and anybody can delete it.
    let counted = integer(8).unwrap_or_default();
    let highest = counted.max(floor).max(newest.map_or(0, |newest| newest.id));
    Ok(Header {
        identity: Identity { log, file },
        floor,
        floor_nonce: integer(4),
        witness: integer(5),
        newest,
        highest,
        rows_between: integer(9) != Some(0),
    })
}

fn no_meta(operation: &'static str) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        "cache_invalidation_meta has no row: run install, as a node does when it starts",
    )
}

fn foreign_tables(operation: &'static str) -> Error {
    incompatible(
        operation,
        "the tables named cache_invalidation_… hold what no version of this log writes: restore them, or drop them \
         and run install"
            .into(),
    )
}
