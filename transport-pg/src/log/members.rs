//! The members of the cluster: a heartbeat within the statement of a poll, and who else there is in its answer.
//!
//! Every few seconds the statement that reads a page also writes this node's row and lists the others': no further
//! statement and no further round trip, through a pooler as well. All other polls are what they would be without
//! members. The table is unlogged, so that a heartbeat waits for no disk, and a crash empties it: everybody is back
//! in it by the next poll, which finds another identity. A row names the time until which it counts, by the server's
//! clock, so that one with a long poll interval is not taken for dead by one with a short one.
//!
//! A heartbeat that fails costs its poll and no other: the next comes when the next is due.

use std::time::Duration;

use invalidation_core::{Error, MAX_MEMBERS, Member, Members, NodeId};
use parking_lot::Mutex;
use serde_json::Value;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::{
    connection::{Session, text},
    cursor::Identity,
    schema_name::SchemaName,
};
use crate::error::code;

/// The table. What reads it goes by `until`, so that it passes over what a transaction that is open for long keeps the
/// server from cleaning up.
macro_rules! members_table {
    () => {
        "CREATE UNLOGGED TABLE {s}.members (
    node text PRIMARY KEY,
    address text NOT NULL,
    until timestamptz NOT NULL
);
CREATE INDEX members_until ON {s}.members (until);
"
    };
}
pub(crate) use members_table;

/// Before the statement of a page: `$15` this node, `$17` how it is reached, `$18` for how many seconds.
const BEAT: &str = "WITH beat AS (
    INSERT INTO {s}.members (node, address, until)
    VALUES ($15::text, $17::text, statement_timestamp() + make_interval(secs => $18::text::float8))
    ON CONFLICT (node) DO UPDATE SET address = excluded.address, until = excluded.until
)
";

/// Behind it: one row, which has neither a header nor a place, with a fingerprint of the others, and with themselves where
/// it is another one than `$16`. To make the list costs several times what it costs to find it unchanged.
const LIST: &str = "
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, f.print, CASE WHEN f.print IS DISTINCT FROM $16::text THEN (
    SELECT coalesce(json_agg(json_build_array(o.node, o.address)), '[]')::text FROM (
        SELECT r.node, r.address FROM {s}.members AS r
        WHERE r.until > statement_timestamp() AND r.node IS DISTINCT FROM $15::text
        ORDER BY r.until DESC LIMIT {most}
    ) AS o
) END, NULL
FROM (
    SELECT count(*) || '/' || coalesce(sum(hashtextextended(r.node || r.address, 0)), 0) AS print
    FROM {s}.members AS r
    WHERE r.until > statement_timestamp() AND r.node IS DISTINCT FROM $15::text
) AS f";

/// Whoever left, was killed or could not come back in time.
const EXPIRED: &str = "DELETE FROM {s}.members WHERE until <= statement_timestamp()";

/// How often a log beats within the time that it names.
const BEATS: u32 = 3;

/// How long a right that was missing is not asked for again.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// The statement of a page with a heartbeat, and with a list of the others.
pub(crate) fn with_beat(page: &str) -> String {
    format!("{BEAT}{}", with_list(page))
}

/// The statement of a page with a list of the others alone.
pub(crate) fn with_list(page: &str) -> String {
    page.to_owned() + &LIST.replace("{most}", &MAX_MEMBERS.to_string())
}

/// What one read does for the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beat {
    /// This node's heartbeat; none only looks who else there is.
    pub(crate) own: Option<Member>,
    /// For how many seconds it counts.
    seconds: String,
    node: Option<String>,
    /// The fingerprint of the others that are known.
    print: Option<String>,
}

impl Beat {
    /// What stands behind the parameters of a page.
    pub(crate) fn parameters(&self) -> Vec<Option<&str>> {
        let mut parameters = vec![self.node.as_deref(), self.print.as_deref()];
        if let Some(own) = &self.own {
            parameters.extend([Some(own.address.as_str()), Some(self.seconds.as_str())]);
        }
        parameters
    }
}

/// When the log beats, and what came of it.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) members: Members,
    expire_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    due: Instant,
    /// What the last heartbeat said.
    said: Option<Member>,
    /// Of the log when it was last listed: after a crash the table is empty until all have beaten once more.
    listed_in: Option<Identity>,
    /// The fingerprint of the last list.
    print: Option<String>,
    /// Until when nothing is written, and until when nothing is listed: rights are missing.
    may_not: [Option<Instant>; 2],
}

impl Pulse {
    pub(crate) fn new(expire_after: Duration) -> Self {
        Self {
            members: Members::new(),
            expire_after,
            state: Mutex::new(State {
                due: Instant::now(),
                said: None,
                listed_in: None,
                print: None,
                may_not: [None; 2],
            }),
        }
    }

    /// What a read that begins now does for the members. It counts as done, whatever becomes of the read.
    pub(crate) fn take(&self) -> Option<Beat> {
        let own = self.members.own();
        if own.is_none() && !self.members.is_watched() {
            return None;
        }
        let now = Instant::now();
        let mut state = self.state.lock();
        if now < state.due && own == state.said {
            return None;
        }
        let [may_write, may_list] = state
            .may_not
            .map(|until| until.is_none_or(|until| until <= now));
        if !may_list {
            return None;
        }
        let pause = self.expire_after / BEATS;
        state.due = now + pause.mul_f64(rand::random_range(0.8..1.0));
        state.said.clone_from(&own);
        Some(Beat {
            node: own.as_ref().map(|own| own.node.to_string()),
            print: state.print.clone(),
            own: own.filter(|_| may_write),
            seconds: self.expire_after.as_secs_f64().to_string(),
        })
    }

    /// What the answer to a read that beat says of the others. A list of another incarnation of the log than the one
    /// before is not complete yet: those known are kept until the next.
    pub(crate) fn heard(&self, rows: &mut Vec<PgRow>, identity: Identity) {
        let is_list = |row: &PgRow| text(row, 0).is_none() && text(row, 1).is_none();
        let Some(at) = rows.iter().position(is_list) else {
            return;
        };
        let row = rows.remove(at);
        let mut state = self.state.lock();
        let before = state.listed_in.replace(identity);
        state.print = None;
        if before.is_none_or(|before| before == identity) {
            state.print = text(&row, 5).map(str::to_owned);
            // None where they are those that are known.
            if let Some(list) = text(&row, 6) {
                self.members.learn(parse(list));
            }
        }
    }

    /// The log is another one than before: everybody beats at once.
    pub(crate) fn met(&self, identity: Identity) {
        let mut state = self.state.lock();
        if state.listed_in.is_some_and(|listed| listed != identity) {
            state.due = Instant::now();
        }
    }

    /// Whether the read failed for the heartbeat's sake, and does not without it.
    pub(crate) fn is_refused(&self, beat: &Beat, error: &Error) -> bool {
        let source = error.source.as_ref();
        let source = source.and_then(|source| source.downcast_ref::<sqlx::Error>());
        let is_refusal = matches!(
            source.and_then(code).as_deref(),
            Some(NO_RIGHT | UNDEFINED_TABLE | READ_ONLY | NOT_SUPPORTED)
        );
        if is_refusal {
            let mut state = self.state.lock();
            let (which, now) = (usize::from(beat.own.is_none()), Instant::now());
            // Without the right to write the others are still looked for, at the next read.
            if which == 0 {
                state.due = now;
            }
            if state.may_not[which].replace(now + AFTER_REFUSAL).is_none() {
                let what = ["announce itself to its peers", "look for its peers"][which];
                tracing::warn!(
                    %error,
                    "the node cannot {what} in the log's table members: let the schema's owner run what \
                     PgLog::grant_sql gives for this user"
                );
            }
        }
        is_refusal
    }

    /// Leaves, over a connection that is open.
    pub(crate) async fn leave(&self, session: &mut Session, schema: &SchemaName) {
        let Some(said) = self.state.lock().said.take() else {
            return;
        };
        let leave = format!("DELETE FROM {{s}}.members WHERE node = '{}'", said.node);
        if let Err(error) = session.try_run(&schema.sql(&leave)).await {
            tracing::debug!(%error, "the node did not leave the log's table members: its row expires");
        }
    }
}

/// Deletes the rows of members that expired.
pub(crate) async fn purge(session: &mut Session, schema: &SchemaName) -> Result<(), Error> {
    match session.try_run(&schema.sql(EXPIRED)).await {
        Err(error) if code(&error).is_none() => Err(crate::error::from_sqlx("purge", error)),
        // They count no more, whether or not they are there.
        Err(error) => {
            tracing::debug!(%error, "members that expired were not deleted");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Whatever else stands in the table is left out.
fn parse(list: &str) -> Vec<Member> {
    let rows: Vec<[Value; 2]> = serde_json::from_str(list).unwrap_or_default();
    let member = |row: &[Value; 2]| {
        let node = u128::from_str_radix(row[0].as_str()?, 16).ok()?;
        let node = NodeId::from_bytes(node.to_be_bytes());
        Some(Member::new(node, row[1].as_str()?.to_owned()))
    };
    rows.iter().filter_map(member).collect()
}

const NO_RIGHT: &str = "42501";
const UNDEFINED_TABLE: &str = "42P01";
const READ_ONLY: &str = "25006";
const NOT_SUPPORTED: &str = "0A000";
