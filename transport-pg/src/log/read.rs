//! One page: one statement, so one snapshot.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use invalidation_core::{
    Completeness, Cursor, Error, ErrorKind, GapReason, LoggedEntry, Page, ReadRequest,
};
use invalidation_log_rows::{Column, Columns};
use sqlx::postgres::PgRow;

use super::{
    connection::{PLANS, Session, text},
    cursor::{Identity, Mark, Place, Series, Witness},
    header::{self, Found, Header, PARTS, header},
    home::settle,
    members::{Pulse, with_beat, with_list},
    schema_name::SchemaName,
};
use crate::error::{error, from_sqlx};

/// What a page adds to the header: the witness's nonce, and where there is none whether a row stands before the cursor.
macro_rules! intact {
    () => {
        "(SELECT w.nonce::text FROM {s}.log AS w WHERE w.xid = $2::text::xid8 AND w.id = $3::text::bigint),
    CASE WHEN $2::text IS NULL THEN (EXISTS (
        SELECT 1 FROM {s}.log AS o
        WHERE o.xid < $5::text::xid8 AND pg_visible_in_snapshot(o.xid, $4::text::pg_snapshot)
    ))::text END"
    };
}

/// The header row, then the rows that the target sees and the cursor's snapshot does not, behind the last one
/// returned.
///
/// `$2`, `$3` the witness's place; `$4`, `$5` the cursor's snapshot and its `xmax`; `$6` the target, none for the
/// present; `$7`, `$8` behind which place transactions that began later stand; `$9` those that were open then; `$10`,
/// `$11` behind which place; `$12` how many rows, `$13` one more, which tells that there are more; `$14` how many
/// bytes.
///
/// Two ordered, limited branches: an `OR` would walk the index from its start. The second stands between `{open}` and
/// `{/open}`, and is left out where nothing was open, which spares the server its start. Of those that were open only what has
/// completed is looked up, so that what a long transaction has written is not passed over by each poll. A row
/// above 16 MiB is not fetched; it widens (`P11`).
const PAGE: &str = concat!(
    "SELECT json_build_array(",
    header!(),
    ",
    ",
    intact!(),
    "
)::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM {s}.meta AS m LEFT JOIN {s}.epoch AS e ON true
UNION ALL
SELECT NULL, p.xid::text, p.id::text, p.nonce::text, p.cache, p.scope,
    CASE WHEN octet_length(p.items) <= 16777216 THEN p.items END, p.fetched::text
FROM (
    SELECT r.*, count(*) OVER () AS fetched, row_number() OVER place AS number,
        sum(octet_length(r.items)) OVER place - octet_length(r.items) AS bytes_before
    FROM (
        (
            SELECT a.xid, a.id, a.nonce, a.cache, a.scope, a.items
            FROM {s}.log AS a
            WHERE (a.xid, a.id) > ($7::text::xid8, $8::text::bigint)
                AND a.xid < pg_snapshot_xmax(coalesce($6::text::pg_snapshot, pg_current_snapshot()))
                AND pg_visible_in_snapshot(a.xid, coalesce($6::text::pg_snapshot, pg_current_snapshot()))
            ORDER BY a.xid, a.id LIMIT $13::text::bigint
        )
        {open}UNION ALL
        (
            SELECT b.xid, b.id, b.nonce, b.cache, b.scope, b.items
            FROM {s}.log AS b
            WHERE b.xid = ANY (ARRAY(
                    SELECT x FROM unnest($9::text::xid8[]) AS x
                    WHERE pg_visible_in_snapshot(x, coalesce($6::text::pg_snapshot, pg_current_snapshot()))
                ))
                AND (b.xid, b.id) > ($10::text::xid8, $11::text::bigint)
            ORDER BY b.xid, b.id LIMIT $13::text::bigint
        )
        ORDER BY 1, 2 LIMIT $13::text::bigint
        {/open}
    ) AS r
    WINDOW place AS (ORDER BY r.xid, r.id)
) AS p
WHERE p.number <= $12::text::bigint AND (p.number = 1 OR p.bytes_before < $14::text::numeric)"
);

/// The same as a function, for those who send text: the server keeps its plan, where it would plan each poll anew. It is
/// `STABLE`, so that all of it sees the snapshot of the statement that calls it.
pub(crate) fn page_function() -> String {
    let mut body = PAGE.replace("{open}", "").replace("{/open}", "");
    for number in (1..=PARAMETERS).rev() {
        body = body.replace(&format!("${number}::text"), &format!("given[{number}]"));
    }
    let plans = PLANS.map(|(name, value)| format!("SET {name} = {value}"));
    let columns: Vec<_> = (0..8)
        .map(|column| format!("column_{column} text"))
        .collect();
    format!(
        "CREATE FUNCTION {{s}}.page(given text[]) RETURNS TABLE ({}) LANGUAGE plpgsql STABLE {} AS $body$ BEGIN
RETURN QUERY {body};
END $body$;
",
        columns.join(", "),
        plans.join(" ")
    )
}

fn page_call() -> String {
    let given: Vec<_> = (1..=PARAMETERS)
        .map(|number| format!("${number}"))
        .collect();
    format!(
        "SELECT * FROM {{s}}.page(ARRAY[{}]::text[])",
        given.join(", ")
    )
}

/// How many parameters [`PAGE`] has.
const PARAMETERS: usize = 14;

/// The header row of a page, and whether there is anything to return: a row that is later than the cursor's snapshot, or a
/// transaction that was open in it and has ended. An idle poll needs no more, and it costs the server two thirds of an
/// empty page. Its snapshot serves as a page's does.
///
/// `$2` to `$5` as for [`PAGE`]; `$6`, `$7` its `$7`, `$8`; `$8` its `$9`.
const LOOK: &str = concat!(
    "SELECT json_build_array(",
    header!(),
    ",
    ",
    intact!(),
    ",
    (EXISTS (
        SELECT 1 FROM {s}.log AS a
        WHERE (a.xid, a.id) > ($6::text::xid8, $7::text::bigint)
            AND a.xid < pg_snapshot_xmax(pg_current_snapshot())
            AND pg_visible_in_snapshot(a.xid, pg_current_snapshot())
    ) OR EXISTS (
        SELECT 1 FROM unnest($8::text::xid8[]) AS x WHERE pg_visible_in_snapshot(x, pg_current_snapshot())
    ))::text
)::text
FROM {s}.meta AS m LEFT JOIN {s}.epoch AS e ON true"
);

/// The header row with the newest row that is committed now.
const HEAD: &str = concat!(
    "SELECT json_build_array(",
    header!(),
    ", n.xid::text, n.id::text, n.nonce::text)::text
FROM {s}.meta AS m LEFT JOIN {s}.epoch AS e ON true LEFT JOIN LATERAL (
    SELECT h.xid, h.id, h.nonce FROM {s}.log AS h
    WHERE h.xid < pg_snapshot_xmax(pg_current_snapshot())
    ORDER BY h.xid DESC, h.id DESC LIMIT 1
) AS n ON true"
);

/// How often a state that has to be settled first is found in one call.
const ATTEMPTS: u32 = 3;

/// The statements, with the schema in them.
#[derive(Debug)]
pub(crate) struct Statements {
    schema: SchemaName,
    page: Arc<str>,
    /// The same where no transaction was open.
    page_of_none_open: Arc<str>,
    /// The call of [`page_function`].
    page_call: Arc<str>,
    /// A page with a heartbeat, and its call; then one with a list of the members alone, and its call.
    members: [[Arc<str>; 2]; 2],
    look: Arc<str>,
    head: Arc<str>,
    /// Whether the last read found nothing, so that the next one looks first.
    idle: AtomicBool,
    /// Which handle this is: see [`Series::handle`].
    handle: u64,
}

/// What a call on the server made of it, and the identity it met.
pub(crate) type Known<T> = (T, Identity);

impl Statements {
    pub(crate) fn new(schema: &SchemaName) -> Self {
        let (before, rest) = PAGE.split_once("{open}").unwrap_or((PAGE, ""));
        let (open, after) = rest.split_once("{/open}").unwrap_or((rest, ""));
        let page = [before, open, after].concat();
        let both = |with: fn(&str) -> String| {
            [&page, &page_call()].map(|page| schema.sql(&with(page)).into())
        };
        Self {
            schema: schema.clone(),
            members: [both(with_beat), both(with_list)],
            page: schema.sql(&page).into(),
            page_of_none_open: schema.sql(&[before, after].concat()).into(),
            page_call: schema.sql(&page_call()).into(),
            look: schema.sql(LOOK).into(),
            head: schema.sql(HEAD).into(),
            idle: AtomicBool::new(false),
            handle: rand::random(),
        }
    }

    /// Reads the page after `request.after`, and does what is due for the members.
    pub(crate) async fn page(
        &self,
        session: &mut Session,
        request: &ReadRequest<'_>,
        pulse: &Pulse,
    ) -> Result<Known<Page>, Error> {
        const OPERATION: &str = "read";
        let Some(mark) = Mark::from_cursor(request.after) else {
            return self
                .expired(session, request, GapReason::CursorUnreadable)
                .await;
        };
        let bounds = Bounds::of(&mark);
        let limit = i64::try_from(request.max_entries.max(1)).unwrap_or(i64::MAX - 1);
        let (limit, one_more) = (
            limit.min(i64::MAX - 1).to_string(),
            limit.saturating_add(1).to_string(),
        );
        let max_bytes = request.max_bytes.to_string();
        let witness = mark.witness.map(|witness| texts(witness.place));
        let (seen, seen_xmax) = (mark.seen.to_string(), mark.seen.xmax.to_string());
        let target = mark.series.as_ref().map(|series| series.target.to_string());
        let parameters = [
            witness.as_ref().map(|(xid, _)| xid.as_str()),
            witness.as_ref().map(|(_, id)| id.as_str()),
            Some(&seen),
            Some(&seen_xmax),
            target.as_deref(),
            Some(&bounds.later.0),
            Some(&bounds.later.1),
            Some(&bounds.open),
            Some(&bounds.open_behind.0),
            Some(&bounds.open_behind.1),
            Some(&limit),
            Some(&one_more),
            Some(&max_bytes),
        ];
        let sql = if session.sends_text() {
            &self.page_call
        } else if bounds.open == NONE_OPEN {
            &self.page_of_none_open
        } else {
            &self.page
        };
        let beat = pulse.take();
        // A series returns what is known to be there, and who sends text has the plan of a page alone kept.
        let looks = self.idle.load(Ordering::Relaxed)
            && beat.is_none()
            && mark.series.is_none()
            && !session.sends_text();
        if looks {
            let [w_xid, w_id, seen, xmax, _, xid, id, open, ..] = parameters;
            let look = [w_xid, w_id, seen, xmax, xid, id, open];
            let (header, rows) = self.ask(OPERATION, session, &self.look, &look).await?;
            let found = header.more.get(2).and_then(Option::as_deref);
            if found == Some("false") || gap(&header, &mark).is_some() {
                pulse.met(header.identity);
                return self.answer(session, request, mark, header, &rows).await;
            }
        }
        let (header, rows) = match beat {
            None => self.ask(OPERATION, session, sql, &parameters).await?,
            Some(beat) => {
                let both = &self.members[usize::from(beat.own.is_none())];
                let with_beat = &both[usize::from(session.sends_text())];
                let and_beat = [&parameters[..], &beat.parameters()].concat();
                match self.ask(OPERATION, session, with_beat, &and_beat).await {
                    Ok((header, mut rows)) => {
                        pulse.heard(&mut rows, header.identity);
                        (header, rows)
                    }
                    // Whoever may not be a member is a reader all the same (`P15`).
                    Err(error) if pulse.is_refused(&beat, &error) => {
                        self.ask(OPERATION, session, sql, &parameters).await?
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        pulse.met(header.identity);
        self.answer(session, request, mark, header, &rows).await
    }

    /// What the statement of a page, or a look, found.
    async fn answer(
        &self,
        session: &mut Session,
        request: &ReadRequest<'_>,
        mark: Mark,
        header: Header,
        rows: &[PgRow],
    ) -> Result<Known<Page>, Error> {
        if let Some(reason) = gap(&header, &mark) {
            return self.expired(session, request, reason).await;
        }
        self.idle.store(rows.is_empty(), Ordering::Relaxed);
        let identity = header.identity;
        let page = self.entries(header, mark, rows, request)?;
        Ok((page, identity))
    }

    fn entries(
        &self,
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
                let (handle, number) = begun_by.unwrap_or((self.handle, request.started.number()));
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
                        if handle == self.handle && number >= request.series_started.number() =>
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

    async fn expired(
        &self,
        session: &mut Session,
        request: &ReadRequest<'_>,
        reason: GapReason,
    ) -> Result<Known<Page>, Error> {
        let (next, identity) = self.head(session, "read").await?;
        let as_of = request.started;
        Ok((
            Page::Expired {
                next,
                as_of,
                reason,
            },
            identity,
        ))
    }

    /// The cursor behind everything that is committed now.
    pub(crate) async fn head(
        &self,
        session: &mut Session,
        operation: &'static str,
    ) -> Result<Known<Cursor>, Error> {
        let (header, _) = self.ask(operation, session, &self.head, &[]).await?;
        let witness = match &header.more[..] {
            [Some(xid), Some(id), Some(nonce)] => header::witness(xid, id, nonce),
            _ => None,
        };
        let mark = Mark::new(header.identity, header.now, witness);
        Ok((mark.to_cursor(), header.identity))
    }

    /// Sends the statement with a new echo as `$1` and these parameters behind it, and again when the log had to be settled first.
    async fn ask(
        &self,
        operation: &'static str,
        session: &mut Session,
        sql: &Arc<str>,
        parameters: &[Option<&str>],
    ) -> Result<(Header, Vec<PgRow>), Error> {
        for _ in 0..ATTEMPTS {
            let echo = format!("{:016x}", rand::random::<u64>());
            let parameters = [&[Some(echo.as_str())], parameters].concat();
            let mut rows = session
                .query(sql, &parameters)
                .await
                .map_err(|e| from_sqlx(operation, e))?;
            let Some(at) = rows.iter().position(|row| text(row, 0).is_some()) else {
                return Err(if rows.is_empty() {
                    header::no_meta(operation)
                } else {
                    header::foreign_answer(operation)
                });
            };
            let first = rows.remove(at);
            match header::parse(operation, &first, &echo)? {
                Found::Header(header) => return Ok((header, rows)),
                Found::Unsettled => settle(session, &self.schema, operation).await?,
            }
        }
        Err(error(
            ErrorKind::Unavailable,
            operation,
            "the log is restored again and again: wait until that is over",
        ))
    }
}

/// An empty array of PostgreSQL.
const NONE_OPEN: &str = "{}";

/// Where the two branches begin.
struct Bounds {
    later: (String, String),
    /// As an array of PostgreSQL.
    open: String,
    open_behind: (String, String),
}

impl Bounds {
    fn of(mark: &Mark) -> Self {
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

fn texts(place: Place) -> (String, String) {
    (place.xid.to_string(), place.id.to_string())
}

/// Why nothing can be read on from `mark`, if so (`P10`, `P13`).
fn gap(header: &Header, mark: &Mark) -> Option<GapReason> {
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

fn parse_row(row: &PgRow) -> Option<(Witness, usize, invalidation_core::Payload)> {
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

// What a statement adds to its header stands behind the parts of it.
const _: () = assert!(PARTS == 14);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use crate::log::{header::Floor, snapshot::Snapshot};

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
