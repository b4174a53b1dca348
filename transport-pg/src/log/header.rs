//! The state of the log in the snapshot of one statement.

use invalidation_core::{Error, ErrorKind};
use serde_json::Value;
use sqlx::{Row, postgres::PgRow};

use super::{
    cursor::{Identity, Mark, Place, Witness},
    schema::{VERSION, check_version},
    snapshot::Snapshot,
};
use crate::error::error;

/// The parts of a header, as texts. Its parameter `$1` is the echo of the request.
///
/// The timeline is read from the name of the present WAL file: `pg_control_checkpoint()` lags a promotion. Every
/// part is of a type that no setting of a session prints otherwise.
macro_rules! header {
    () => {
        "$1::text,
    m.version::text,
    m.home,
    replace(e.epoch::text, '-', ''),
    (SELECT c.system_identifier::text FROM pg_control_system() AS c),
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text,
    (SELECT d.oid::text FROM pg_database AS d WHERE d.datname = current_database()),
    '{s}.log'::regclass::oid::text,
    pg_current_snapshot()::text,
    m.floor_xid::text,
    m.floor_id::text,
    m.floor_nonce::text,
    m.floor_snapshot::text"
    };
}
pub(crate) use header;

/// How many parts [`header!`] has; what a statement adds comes behind.
pub(crate) const PARTS: usize = 14;

/// What `header!` says.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) identity: Identity,
    /// The present snapshot.
    pub(crate) now: Snapshot,
    /// How far rows were purged.
    pub(crate) floor: Option<Floor>,
    /// What the statement added.
    pub(crate) more: Vec<Option<String>>,
}

/// What was purged: rows at or before the witness that the snapshot sees.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) last: Witness,
    pub(crate) snapshot: Snapshot,
}

/// A header, or what has to be done first.
#[derive(Debug)]
pub(crate) enum Found {
    Header(Header),
    /// The epoch is missing, or the tables were made on another server or in another database.
    Unsettled,
}

impl Floor {
    /// Whether everything that was purged had completed in `snapshot`.
    fn is_within(&self, snapshot: &Snapshot) -> bool {
        let last = self.last.place.xid;
        let missed = |&x: &u64| x <= last && self.snapshot.sees(x);
        last < snapshot.xmax && !snapshot.xip.iter().any(missed)
    }

    /// Whether a reader at `mark` has read everything that was purged (`P13`).
    pub(crate) fn is_passed_by(&self, mark: &Mark) -> bool {
        let returned = mark
            .series
            .as_ref()
            .is_some_and(|series| self.last.place <= series.last && self.is_within(&series.target));
        returned || self.is_within(&mark.seen)
    }
}

/// Reads the header out of a statement's answer, which must be the one to the request with this echo.
pub(crate) fn parse(operation: &'static str, row: &PgRow, echo: &str) -> Result<Found, Error> {
    let text: &str = row.try_get(0).map_err(|_| foreign_answer(operation))?;
    let values: Vec<Option<String>> = serde_json::from_str::<Vec<Value>>(text)
        .ok()
        .filter(|values| values.len() >= PARTS)
        .ok_or_else(|| foreign_answer(operation))?
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect();
    let part = |at: usize| values[at].as_deref();
    if part(0) != Some(echo) {
        return Err(foreign_answer(operation));
    }
    // Version 0 was never made.
    check_version(operation, part(1).and_then(|v| v.parse().ok()).unwrap_or(0))?;
    let unreadable = || foreign_tables(operation);
    let Some(timeline) = part(5) else {
        return Err(error(
            ErrorKind::Unavailable,
            operation,
            "this server is a standby, whose snapshots hide open transactions: connect to the primary",
        ));
    };
    let number = |at| part(at).ok_or_else(unreadable);
    let (system, database, table) = (number(4)?, number(7)?, number(8)?);
    if part(2) != Some(&format!("{system}/{database}/{table}")) {
        return Ok(Found::Unsettled);
    }
    let Some(epoch) = part(3) else {
        return Ok(Found::Unsettled);
    };
    // The server prints a system identifier as a signed number.
    let system = system.parse::<i64>().map_err(|_| unreadable())?;
    let identity = Identity {
        system: system.cast_unsigned(),
        timeline: u32::from_str_radix(timeline, 16).map_err(|_| unreadable())?,
        started: number(6)?.parse().map_err(|_| unreadable())?,
        database: database.parse().map_err(|_| unreadable())?,
        table: table.parse().map_err(|_| unreadable())?,
        epoch: u128::from_str_radix(epoch, 16).map_err(|_| unreadable())?,
    };
    let floor = match (part(10), part(11), part(12), part(13)) {
        (None, ..) => None,
        (Some(xid), Some(id), Some(nonce), Some(snapshot)) => Some(Floor {
            last: witness(xid, id, nonce).ok_or_else(unreadable)?,
            snapshot: Snapshot::parse(snapshot).ok_or_else(unreadable)?,
        }),
        _ => return Err(unreadable()),
    };
    Ok(Found::Header(Header {
        identity,
        now: part(9).and_then(Snapshot::parse).ok_or_else(unreadable)?,
        floor,
        more: values.into_iter().skip(PARTS).collect(),
    }))
}

pub(crate) fn place(xid: &str, id: &str) -> Option<Place> {
    Some(Place {
        xid: xid.parse().ok()?,
        id: id.parse().ok()?,
    })
}

pub(crate) fn witness(xid: &str, id: &str, nonce: &str) -> Option<Witness> {
    Some(Witness {
        place: place(xid, id)?,
        nonce: nonce.parse().ok()?,
    })
}

/// What a pooler gives who speaks the extended protocol to it outside a transaction.
pub(crate) fn foreign_answer(operation: &'static str) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        "the answer is not the one to this request: if a pooler in transaction mode is in between, say \
         Pooling::Transaction",
    )
}

pub(crate) fn no_meta(operation: &'static str) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        "the log's table meta has no row: run install, as a node does when it starts",
    )
}

pub(crate) fn foreign_tables(operation: &'static str) -> Error {
    error(
        ErrorKind::Incompatible,
        operation,
        format!(
            "the log's tables hold what no version up to {VERSION} writes: restore them, or drop the schema and run \
             install"
        ),
    )
}
