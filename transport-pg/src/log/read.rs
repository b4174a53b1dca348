//! Reading: one page is one statement, so one snapshot.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use invalidation_core::{Cursor, Error, ErrorKind, GapReason, Page, ReadRequest};
use sqlx::postgres::PgRow;

use super::{
    connection::{Session, text},
    cursor::{Identity, Mark},
    header::{self, Found, Header},
    home::settle,
    members::{Pulse, with_beat, with_list},
    page::{Bounds, NONE_OPEN, gap, page, texts},
    read_sql::{HEAD, LOOK, PAGE, page_call},
    schema_name::SchemaName,
};
use crate::error::{error, from_sqlx};

/// How often a state that has to be settled first is found in one call.
const ATTEMPTS: u32 = 3;

/// The statements, with the schema in them.
#[derive(Debug)]
pub(crate) struct Statements {
    schema: SchemaName,
    page: Arc<str>,
    /// The same where no transaction was open.
    page_of_none_open: Arc<str>,
    /// The call of [`page_function`](super::read_sql::page_function).
    page_call: Arc<str>,
    /// A page with a heartbeat, and its call; then one with a list of the members alone, and its call.
    members: [[Arc<str>; 2]; 2],
    look: Arc<str>,
    head: Arc<str>,
    /// Whether the last read found nothing, so that the next one looks first.
    idle: AtomicBool,
    /// Which handle this is: see [`Series::handle`](super::cursor::Series::handle).
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
        let page = page(self.handle, header, mark, rows, request)?;
        Ok((page, identity))
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

    /// Sends the statement with a new echo as `$1` and these parameters behind it, and again when the log had to be
    /// settled first.
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
