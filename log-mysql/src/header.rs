//! The state of the log in the view of one read.

use invalidation_core::{Error, ErrorKind, GapReason};
use sqlx::mysql::MySqlRow;

use crate::{
    connection::{Session, integer, literal, text},
    cursor::{Epoch, Mark, Witness},
    database_name::DatabaseName,
    error::{error, from_sqlx},
    schema::{VERSION, check_version},
};

/// One row, told by its first column. `{witness}` is the sequence number of the witness, `{server}` what tells this
/// server from others.
///
/// The time of the log table's creation tells a dump that was restored over it; it counts in seconds.
const HEADER: &str = "SELECT 'header', m.version, m.epoch, m.home, m.counter, m.floor, m.floor_nonce, {server}, @@global.read_only,
    (SELECT UNIX_TIMESTAMP(t.CREATE_TIME) FROM information_schema.TABLES AS t
        WHERE t.TABLE_SCHEMA = {name} AND t.TABLE_NAME = 'cache_invalidation_log'),
    (SELECT w.nonce FROM {d}.cache_invalidation_log AS w WHERE w.seq = {witness} LIMIT 1),
    n.seq, n.nonce
FROM {d}.cache_invalidation_meta AS m LEFT JOIN (
    SELECT h.seq, h.nonce FROM {d}.cache_invalidation_log AS h FORCE INDEX (PRIMARY)
    WHERE h.seq > 0 ORDER BY h.seq DESC LIMIT 1
) AS n ON TRUE
WHERE m.one = 1;
";

/// The SQL of the header.
pub(crate) fn sql(database: &DatabaseName, session: &Session, witness: Option<i64>) -> String {
    database
        .sql(HEADER)
        .replace("{server}", session.flavour.server())
        .replace(
            "{witness}",
            &witness.map_or("NULL".into(), |seq| seq.to_string()),
        )
}

/// What it says.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) epoch: Epoch,
    /// What tells this server from others.
    pub(crate) server: String,
    /// The highest sequence number that was given.
    pub(crate) counter: i64,
    /// The highest one that was purged, and the nonce of its row.
    pub(crate) floor: i64,
    floor_nonce: Option<i64>,
    /// The nonce of the row that is the cursor's witness.
    witness: Option<i64>,
    newest: Option<Witness>,
}

/// A header, or what has to be done first.
#[derive(Debug)]
pub(crate) enum Found {
    Header(Header),
    /// The epoch was written for another server, another life of it, or other tables.
    Moved(Moved),
}

/// What a new epoch has to be written for.
#[derive(Debug)]
pub(crate) struct Moved {
    from: String,
    to: String,
}

/// Reads the header out of an answer.
pub(crate) fn parse(
    operation: &'static str,
    session: &Session,
    row: &MySqlRow,
) -> Result<Found, Error> {
    // Version 0 was never made.
    check_version(operation, integer(row, 1).unwrap_or(0))?;
    let unreadable = || foreign_tables(operation);
    if text(row, 8) != Some("0") {
        return Err(error(
            ErrorKind::ReadOnly,
            operation,
            "this server is read-only, as replicas are, which lag behind their primary: connect to the primary, or set \
             read_only = OFF on it",
        ));
    }
    let server = text(row, 7).ok_or_else(unreadable)?;
    // Hidden from who may not see the table.
    let created = text(row, 9).ok_or_else(|| denied(operation))?;
    let home = format!("{server} {} {created}", session.started);
    let written = text(row, 3).ok_or_else(unreadable)?;
    if written != home {
        return Ok(Found::Moved(Moved {
            from: written.into(),
            to: home,
        }));
    }
    let newest = integer(row, 11).map(|seq| Witness {
        seq,
        nonce: integer(row, 12).unwrap_or_default(),
    });
    Ok(Found::Header(Header {
        epoch: text(row, 2).and_then(Epoch::parse).ok_or_else(unreadable)?,
        server: server.into(),
        counter: integer(row, 4).ok_or_else(unreadable)?,
        floor: integer(row, 5).ok_or_else(unreadable)?,
        floor_nonce: integer(row, 6),
        witness: integer(row, 10),
        newest,
    }))
}

impl Header {
    /// Behind every number that was ever given, also when the newest rows were deleted by hand: whoever gets it starts
    /// cold, or has just been told of a gap, and is not told of it again.
    pub(crate) fn mark(&self) -> Mark {
        let newest = self.newest.filter(|newest| newest.seq <= self.counter);
        Mark::new(self.epoch, self.counter, newest)
    }

    /// Why nothing can be read on from `mark`, if so (`P10`, `P13`).
    pub(crate) fn gap(&self, mark: &Mark) -> Option<GapReason> {
        if mark.epoch != self.epoch {
            return Some(GapReason::IdentityChanged);
        }
        if mark.seq < self.floor {
            return Some(GapReason::Purged);
        }
        let intact = match mark.witness {
            // The row itself may have been purged when it stands right on the floor.
            Some(Witness { seq, nonce }) if seq == self.floor => {
                self.witness.or(self.floor_nonce) == Some(nonce)
            }
            Some(Witness { nonce, .. }) => self.witness == Some(nonce),
            None => true,
        };
        (!intact || self.counter < mark.seq).then_some(GapReason::WitnessLost)
    }
}

/// Writes a new epoch; the first of several processes does.
///
/// Nothing of the rows changes: what was stamped stays, and what was not is stamped as ever. No cursor of before can be
/// read on from, since each is of another epoch.
pub(crate) async fn settle(
    operation: &'static str,
    session: &mut Session,
    database: &DatabaseName,
    moved: &Moved,
) -> Result<(), Error> {
    let update = format!(
        "UPDATE {} SET epoch = '{}', home = {} WHERE one = 1 AND home = {}",
        database.sql("{d}.cache_invalidation_meta"),
        Epoch::random().to_text(),
        literal(&moved.to),
        literal(&moved.from)
    );
    session
        .run(update)
        .await
        .map_err(|e| from_sqlx(operation, e))?;
    if !moved.from.is_empty() {
        tracing::warn!(
            database = database.as_str(),
            "the server was started again or replaced, or the log restored: every reader flushes"
        );
    }
    Ok(())
}

pub(crate) fn no_meta(operation: &'static str) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        "the table cache_invalidation_meta has no row: run install, as a node does when it starts",
    )
}

pub(crate) fn foreign_tables(operation: &'static str) -> Error {
    error(
        ErrorKind::Incompatible,
        operation,
        format!(
            "the tables named cache_invalidation_… hold what no version up to {VERSION} writes: restore them, or drop \
             them and run install"
        ),
    )
}

/// For who may not even look whether it is there.
pub(crate) fn not_granted(operation: &'static str) -> Error {
    error(
        ErrorKind::Denied,
        operation,
        "this user may not read the log's tables, or they are not there: let an administrator run what \
         MySqlLog::install_sql and MySqlLog::grant_sql give",
    )
}

fn denied(operation: &'static str) -> Error {
    error(
        ErrorKind::Denied,
        operation,
        "the table cache_invalidation_log is hidden from this user: let an administrator run what MySqlLog::grant_sql \
         gives for it",
    )
}
