//! A page: where it begins, and what is made of the rows that came.

use invalidation_core::{Completeness, Error, GapReason, LoggedEntry, Page, Payload, ReadRequest};
use invalidation_log_rows::{Column, Columns};
use sqlx::postgres::PgRow;

use super::{
    connection::text,
    cursor::{Mark, Place, Series, Witness},
    header::{self, Header},
};

/// An empty array of PostgreSQL.
pub(super) const NONE_OPEN: &str = "{}";

/// Where the two branches begin.
pub(super) struct Bounds {
    pub(super) later: (String, String),
    /// As an array of PostgreSQL.
    pub(super) open: String,
    pub(super) open_behind: (String, String),
}

impl Bounds {
    pub(super) fn of(mark: &Mark) -> Self {
        // Behind all rows of the transaction before.
        let first = Place {
            xid: mark.seen.xmax.saturating_sub(1),
            id: i64::MAX,
        };
        let none = Place {
            xid: 0,
            id: i64::MIN,
        };
        let last = mark.series.as_ref().map_or(none, |series| series.last);
        let open = mark.seen.xip.iter().filter(|&&x| x >= last.xid);
        let open: Vec<_> = open.map(ToString::to_string).collect();
        Self {
            later: texts(first.max(last)),
            open: format!("{{{}}}", open.join(",")),
            open_behind: texts(last),
        }
    }
}

pub(super) fn texts(place: Place) -> (String, String) {
    (place.xid.to_string(), place.id.to_string())
}

/// Why nothing can be read on from `mark`, if so (`P10`, `P13`).
pub(super) fn gap(header: &Header, mark: &Mark) -> Option<GapReason> {
    if !mark.is_of(header.identity) {
        return Some(GapReason::IdentityChanged);
    }
    if let Some(floor) = &header.floor
        && !floor.is_passed_by(mark)
    {
        return Some(GapReason::Purged);
    }
    let [there, older] = [0, 1].map(|at| header.more.get(at).and_then(Option::as_deref));
    let intact = match (mark.witness, &header.floor) {
        // The row itself may have been purged when it is the one on the floor.
        (Some(witness), Some(floor)) if witness.place == floor.last.place => {
            there.is_none_or(|nonce| nonce == witness.nonce.to_string())
                && witness.nonce == floor.last.nonce
        }
        (Some(witness), _) => there == Some(&witness.nonce.to_string()),
        // Taken when there was no row: then none may stand before it now.
        (None, _) => older == Some("false"),
    };
    (!intact).then_some(GapReason::WitnessLost)
}

/// The page that these rows are, for the handle that reads: see [`Series::handle`].
pub(super) fn page(
    own: u64,
    header: Header,
    mark: Mark,
    rows: &[PgRow],
    request: &ReadRequest<'_>,
) -> Result<Page, Error> {
    let identity = header.identity.to_word();
    let mut found = Vec::with_capacity(rows.len());
    let mut fetched = 0;
    for row in rows {
        let (witness, entries_fetched, payload) =
            parse_row(row).ok_or_else(|| header::foreign_tables("read"))?;
        fetched = entries_fetched;
        found.push((witness, payload));
    }
    found.sort_unstable_by_key(|(witness, _)| witness.place);
    let is_all = found.len() >= fetched;
    let last = found.last().map(|(witness, _)| *witness);
    let witness = match (mark.witness, last) {
        (Some(before), Some(last)) if before.place > last.place => Some(before),
        (before, last) => last.or(before),
    };
    let entries = found
        .into_iter()
        .map(|(witness, payload)| LoggedEntry {
            position: witness.place.to_position(identity.clone()),
            payload,
        })
        .collect();
    let (target, begun_by) = match mark.series {
        Some(series) => (series.target, Some((series.handle, series.number))),
        None => (header.now, None),
    };
    let (next, complete) = match (is_all, last, begun_by) {
        (false, Some(last), _) => {
            let (handle, number) = begun_by.unwrap_or((own, request.started.number()));
            let mut next = Mark::new(header.identity, mark.seen, witness);
            next.series = Some(Series {
                target,
                last: last.place,
                handle,
                number,
            });
            (next, Completeness::Partial)
        }
        (_, _, begun_by) => {
            let complete = match begun_by {
                None => Completeness::AsOf(request.started),
                Some((handle, number))
                    if handle == own && number >= request.series_started.number() =>
                {
                    Completeness::AsOf(request.series_started)
                }
                // Begun elsewhere, before the start that would have to be claimed: what has come since then
                // is for the next page (`P4`).
                Some(_) => Completeness::Partial,
            };
            (Mark::new(header.identity, target, witness), complete)
        }
    };
    Ok(Page::Entries {
        entries,
        next: next.to_cursor(),
        complete,
    })
}

fn parse_row(row: &PgRow) -> Option<(Witness, usize, Payload)> {
    let place = header::place(text(row, 1)?, text(row, 2)?)?;
    let nonce = text(row, 3).and_then(|nonce| nonce.parse().ok());
    let columns = Columns {
        nonce: nonce.into(),
        cache: text(row, 4).into(),
        scope: text(row, 5).into(),
        items: text(row, 6).map_or(Column::Other("too large or no text"), Column::Text),
    };
    let witness = Witness {
        place,
        nonce: nonce.unwrap_or_default(),
    };
    Some((witness, text(row, 7)?.parse().ok()?, columns.decode()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use crate::log::{cursor::Identity, header::Floor, snapshot::Snapshot};

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::parse(text).unwrap()
    }

    fn mark(seen: &str) -> Mark {
        let identity = Identity {
            system: 1,
            timeline: 1,
            started: 1,
            database: 1,
            table: 1,
            epoch: 1,
        };
        Mark::new(identity, snapshot(seen), None)
    }

    fn floor(xid: u64, id: i64, seen: &str) -> Floor {
        let place = Place { xid, id };
        Floor {
            last: Witness { place, nonce: 0 },
            snapshot: snapshot(seen),
        }
    }

    /// P13: a floor is passed by whoever had seen all that was purged, whatever was open at the time.
    #[test]
    fn a_floor_is_passed_by_who_has_seen_it_all() {
        let floor = floor(15, 1, "18:18:");
        assert!(floor.is_passed_by(&mark("20:20:")));
        assert!(floor.is_passed_by(&mark("16:16:")));
        assert!(floor.is_passed_by(&mark("17:20:17")), "opened after it");
        assert!(!floor.is_passed_by(&mark("15:15:")), "it was not there yet");
        assert!(
            !floor.is_passed_by(&mark("12:20:12")),
            "12 was open, and may have been purged since"
        );
    }

    /// P13: what is open now cannot have been purged.
    #[test]
    fn an_open_transaction_was_not_purged() {
        let floor = floor(15, 1, "12:18:12");
        assert!(floor.is_passed_by(&mark("12:20:12")));
    }

    /// P13: within a series only what was returned counts as passed.
    #[test]
    fn a_floor_within_a_series() {
        let mut mark = mark("10:10:");
        mark.series = Some(Series {
            target: snapshot("20:20:"),
            last: Place { xid: 15, id: 4 },
            handle: 0,
            number: 0,
        });
        assert!(floor(15, 4, "20:20:").is_passed_by(&mark));
        assert!(!floor(15, 5, "20:20:").is_passed_by(&mark));
        assert!(floor(9, 9, "20:20:").is_passed_by(&mark));
    }

    /// P1: later pages go on behind the last row in both branches.
    #[test]
    fn both_branches_go_on_behind_the_last_row() {
        let mut mark = mark("5:10:5,7");
        let bounds = Bounds::of(&mark);
        assert_eq!(
            bounds.later,
            texts(Place {
                xid: 9,
                id: i64::MAX
            })
        );
        assert_eq!(bounds.open, "{5,7}");
        let mut series = Series {
            target: snapshot("20:20:"),
            last: Place { xid: 7, id: 3 },
            handle: 0,
            number: 0,
        };
        mark.series = Some(series.clone());
        let bounds = Bounds::of(&mark);
        assert_eq!(
            bounds.later,
            texts(Place {
                xid: 9,
                id: i64::MAX
            })
        );
        assert_eq!(bounds.open, "{7}");
        assert_eq!(bounds.open_behind, texts(series.last));
        series.last.xid = 12;
        mark.series = Some(series.clone());
        let bounds = Bounds::of(&mark);
        assert_eq!(
            (bounds.later, bounds.open),
            (texts(series.last), "{}".into())
        );
    }
}
