//! Identity, position and cursor as bytes.

use bytes::{Buf, BufMut, Bytes};
use invalidation_core::{Cursor, LogIdentity, Position};

use super::snapshot::Snapshot;

/// All that changes when the past of the log may have changed (`P10`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `system_identifier`, made by `initdb`.
    pub(crate) system: u64,
    /// Changed by each promotion and each restore to a point in time.
    pub(crate) timeline: u32,
    /// `pg_postmaster_start_time`, in microseconds.
    pub(crate) started: i64,
    /// The database's oid.
    pub(crate) database: u32,
    /// The log table's oid.
    pub(crate) table: u32,
    /// From the unlogged table, which a crash empties: only it tells that xids may have been used again. A truncation
    /// by hand changes it too.
    pub(crate) epoch: u128,
}

impl Identity {
    const BYTES: usize = 8 + 4 + 8 + 4 + 4 + 16;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let mut rest = &mut bytes[..];
        rest.put_u64(self.system);
        rest.put_u32(self.timeline);
        rest.put_i64(self.started);
        rest.put_u32(self.database);
        rest.put_u32(self.table);
        rest.put_u128(self.epoch);
        bytes
    }

    pub(crate) fn to_word(self) -> LogIdentity {
        LogIdentity::from_bytes(self.to_bytes().to_vec())
    }

    /// What an insert asserts. The rest cannot change while these stay: a postmaster that is promoted finds the
    /// unlogged table empty.
    pub(crate) fn seal(self) -> String {
        let Self {
            epoch,
            database,
            table,
            started,
            ..
        } = self;
        format!("{epoch:032x}/{database}/{table}/{started}")
    }
}

/// Where a row stands: by transaction, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) xid: u64,
    pub(crate) id: i64,
}

impl Place {
    pub(crate) fn to_position(self, identity: LogIdentity) -> Position {
        let mut at = Vec::with_capacity(16);
        at.put_u64(self.xid);
        at.put_i64(self.id);
        Position {
            identity,
            at: Bytes::from(at),
        }
    }

    fn of(position: &Position) -> Option<Self> {
        let mut at = position.at.as_ref();
        (at.len() == 16).then(|| Self {
            xid: at.get_u64(),
            id: at.get_i64(),
        })
    }
}

/// The greatest row that was read, and its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) place: Place,
    pub(crate) nonce: i64,
}

/// Where a series of pages stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Series {
    /// What the series returns: all that this snapshot sees, and the cursor's does not.
    pub(crate) target: Snapshot,
    /// The last row returned.
    pub(crate) last: Place,
    /// The handle that began it, and the number of the read with which it did: who goes on elsewhere cannot
    /// claim that it began with a read of his own (`P4`).
    pub(crate) handle: u64,
    pub(crate) number: u64,
}

/// How far a reader has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    identity: [u8; Identity::BYTES],
    /// Everything that this sees has been read.
    pub(crate) seen: Snapshot,
    /// None when there was no row.
    pub(crate) witness: Option<Witness>,
    pub(crate) series: Option<Series>,
}

impl Mark {
    const FORMAT: u8 = 1;

    pub(crate) fn new(identity: Identity, seen: Snapshot, witness: Option<Witness>) -> Self {
        Self {
            identity: identity.to_bytes(),
            seen,
            witness,
            series: None,
        }
    }

    pub(crate) fn is_of(&self, identity: Identity) -> bool {
        self.identity == identity.to_bytes()
    }

    pub(crate) fn to_cursor(&self) -> Cursor {
        let mut bytes = Vec::with_capacity(128);
        bytes.put_u8(Self::FORMAT);
        bytes.put_slice(&self.identity);
        put_snapshot(&mut bytes, &self.seen);
        bytes.put_u8(self.witness.is_some().into());
        if let Some(Witness { place, nonce }) = self.witness {
            put_place(&mut bytes, place);
            bytes.put_i64(nonce);
        }
        bytes.put_u8(self.series.is_some().into());
        if let Some(series) = &self.series {
            put_snapshot(&mut bytes, &series.target);
            put_place(&mut bytes, series.last);
            bytes.put_u64(series.handle);
            bytes.put_u64(series.number);
        }
        Cursor::from_bytes(bytes)
    }

    /// `None` for anything that [`to_cursor`](Self::to_cursor) does not make.
    pub(crate) fn from_cursor(cursor: &Cursor) -> Option<Self> {
        let mut bytes = cursor.as_bytes().as_ref();
        if bytes.try_get_u8().ok()? != Self::FORMAT {
            return None;
        }
        let mut identity = [0; Identity::BYTES];
        bytes.try_copy_to_slice(&mut identity).ok()?;
        let seen = get_snapshot(&mut bytes)?;
        let witness = match bytes.try_get_u8().ok()? {
            0 => None,
            1 => Some(Witness {
                place: get_place(&mut bytes)?,
                nonce: bytes.try_get_i64().ok()?,
            }),
            _ => return None,
        };
        let series = match bytes.try_get_u8().ok()? {
            0 => None,
            1 => Some(Series {
                target: get_snapshot(&mut bytes)?,
                last: get_place(&mut bytes)?,
                handle: bytes.try_get_u64().ok()?,
                number: bytes.try_get_u64().ok()?,
            }),
            _ => return None,
        };
        bytes.is_empty().then_some(Self {
            identity,
            seen,
            witness,
            series,
        })
    }

    /// Whether this has passed `position`; `false` when they are not of the same log.
    pub(crate) fn covers(&self, position: &Position) -> bool {
        let Some(place) = Place::of(position) else {
            return false;
        };
        let returned = self
            .series
            .as_ref()
            .is_some_and(|series| place <= series.last && series.target.sees(place.xid));
        position.identity.as_bytes().as_ref() == self.identity
            && (self.seen.sees(place.xid) || returned)
    }
}

fn put_place(bytes: &mut Vec<u8>, place: Place) {
    bytes.put_u64(place.xid);
    bytes.put_i64(place.id);
}

fn get_place(bytes: &mut &[u8]) -> Option<Place> {
    let xid = bytes.try_get_u64().ok().filter(|&xid| xid < 1 << 63)?;
    let id = bytes.try_get_i64().ok()?;
    Some(Place { xid, id })
}

fn put_snapshot(bytes: &mut Vec<u8>, snapshot: &Snapshot) {
    bytes.put_u64(snapshot.xmin);
    bytes.put_u64(snapshot.xmax);
    // A server has far fewer than 2³² transactions open.
    bytes.put_u32(u32::try_from(snapshot.xip.len()).unwrap_or(u32::MAX));
    for &x in &snapshot.xip {
        bytes.put_u64(x);
    }
}

fn get_snapshot(bytes: &mut &[u8]) -> Option<Snapshot> {
    let (xmin, xmax) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
    let count = bytes.try_get_u32().ok()? as usize;
    if bytes.len() / 8 < count {
        return None;
    }
    let xip = (0..count).map(|_| bytes.get_u64()).collect();
    Snapshot::of(xmin, xmax, xip)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    fn mark() -> Mark {
        let identity = Identity {
            system: 7,
            timeline: 1,
            started: -3,
            database: 5,
            table: 6,
            epoch: 1 << 100,
        };
        let place = Place { xid: 12, id: 3 };
        let mut mark = Mark::new(
            identity,
            Snapshot::parse("10:20:10,14").unwrap(),
            Some(Witness { place, nonce: -1 }),
        );
        mark.series = Some(Series {
            target: Snapshot::parse("14:30:14,22").unwrap(),
            last: Place { xid: 21, id: 9 },
            handle: 1,
            number: 2,
        });
        mark
    }

    /// A cursor comes back whole, and no part or addition of it is taken for one.
    #[test]
    fn only_its_own_bytes_are_a_cursor() {
        let mark = mark();
        let bytes = mark.to_cursor().as_bytes().clone();
        assert_eq!(Mark::from_cursor(&mark.to_cursor()), Some(mark));
        for length in 0..bytes.len() {
            let part = Cursor::from_bytes(bytes.slice(..length));
            assert_eq!(Mark::from_cursor(&part), None, "{length} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Mark::from_cursor(&Cursor::from_bytes(longer)), None);
    }

    /// P1: a cursor covers what its snapshot sees, and of its series only what was returned.
    #[test]
    fn it_covers_what_was_read() {
        let mark = mark();
        let identity = LogIdentity::from_bytes(mark.identity.to_vec());
        let covers = |xid, id| mark.covers(&Place { xid, id }.to_position(identity.clone()));
        assert!(covers(9, 99) && covers(13, 99) && covers(10, 99) && covers(21, 9));
        assert!(!covers(14, 1) && !covers(21, 10) && !covers(22, 1) && !covers(30, 1));
        let elsewhere = LogIdentity::from_bytes(vec![0; Identity::BYTES]);
        assert!(!mark.covers(&Place { xid: 9, id: 1 }.to_position(elsewhere)));
    }
}
