//! The safety net: the log that every node reads on from where it stopped.

use std::{any::Any, fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    Tick,
    error::Error,
    members::Members,
    words::{Cursor, Entry, GapReason, LogIdentity, LoggedEntry, Position},
};

/// The authority: an append-only record of invalidations that any node can read on from where it stopped.
///
/// # Contract
/// **The log promises the node:**
/// - An entry appended outside a transaction is committed when [`append`](Self::append) returns `Ok`. One
///   appended through [`JoinsLog`] exists exactly if that transaction commits (`P2`).
/// - Reading on from a cursor yields each committed entry exactly once, whatever the order in which
///   transactions commit, or [`Page::Expired`] (`P1`, `P10`).
/// - A cursor carries an *identity* (all that changes when the server's past may have changed) and a
///   *witness* (the nonce of the newest row read). Both are checked by every read; either one wrong is
///   [`Page::Expired`]. Purge never deletes the newest row.
/// - The purge floor is stored apart from the rows, changed in the delete's transaction, and checked in the
///   statement of *every* page (`P13`).
/// - [`Completeness::AsOf`] is never later than the start of the statement that fixed what the page
///   returns. A partial, failed, timed-out or replica read never claims it (`P4`).
/// - Every method is cancel-safe and may be called concurrently. A dropped `append` may or may not have
///   happened; the node treats it as unknown. None retries by itself: the node does.
/// - No credential appears in `Debug`, errors or logs.
///
/// **The node promises the log:** it calls [`install`](Self::install) once before anything else, keeps at
/// most one `read` in flight, and bounds every call by a timeout of its own.
#[async_trait]
pub trait InvalidationLog: fmt::Debug + Send + Sync + 'static {
    /// What this log claims.
    fn capabilities(&self) -> LogCapabilities;

    /// Makes or upgrades what the log needs in its backend. Idempotent, versioned, and safe when many nodes
    /// start at once.
    ///
    /// # Errors
    /// [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible) when a newer version made it.
    async fn install(&self) -> Result<(), Error>;

    /// A cursor behind everything committed before this call began.
    async fn head(&self) -> Result<Cursor, Error>;

    /// Appends `entries`, in order, in one atomic step; one position for each. Concurrent callers may be
    /// grouped into one statement.
    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error>;

    /// The next page after a cursor. See [`ReadRequest`] and [`Page`].
    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error>;

    /// Whether `cursor` has passed `position`. `false` when unknown: a complete read that began after the
    /// position was obtained covers it anyway.
    fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        let _ = (cursor, position);
        false
    }

    /// Deletes entries older than `retention`, in small chunks, never the newest.
    async fn purge(&self, retention: Duration) -> Result<Purged, Error>;

    /// SQL and its one parameter which, run in a transaction on the log's database, appends `entries`: for
    /// drivers that this crate does not know. `None` when the log has no such statement.
    ///
    /// The statement fails, or changes no row, on a database that is not this log's.
    fn statement(&self, entries: &[Entry]) -> Option<LogStatement> {
        let _ = entries;
        None
    }

    /// The identity that positions of entries appended now would carry, once known. Used for entries whose
    /// position the log could not give (those of a [`LogStatement`]).
    fn identity(&self) -> Option<LogIdentity> {
        None
    }

    /// Where the nodes that share this log tell how they are reached, if it keeps that. Wrappers delegate.
    fn members(&self) -> Option<Members> {
        None
    }

    /// The concrete log, for [`JoinsLog`]. Wrappers delegate.
    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        None
    }

    /// Ends all connections. Idempotent; later calls fail with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    async fn close(&self) -> Result<(), Error>;
}

/// What a log claims.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogCapabilities {
    /// The backend's name: `"sqlite"`.
    pub name: &'static str,
    /// Whether an invalidation can join a write of business data on the log's own server (`P2`), by
    /// [`JoinsLog`] or a [`LogStatement`]. Where it cannot, and where the data is elsewhere, writers use
    /// [`Changes::in_two_steps`](crate::Changes::in_two_steps), and one that dies between its commit and the append leaves
    /// other nodes bounded by their TTL alone.
    pub transactional: bool,
    /// How fresh its reads are.
    pub reads: ReadConsistency,
    /// Whether an acknowledged append survives every fault that the backend survives.
    pub keeps_acknowledged: bool,
    /// Whether nodes on different hosts can share it.
    pub shared_across_hosts: bool,
}

impl LogCapabilities {
    /// The cautious claims: not transactional, reads may be stale, one host.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            transactional: false,
            reads: ReadConsistency::MayBeStale,
            keeps_acknowledged: false,
            shared_across_hosts: false,
        }
    }
}

/// How fresh the reads of a log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadConsistency {
    /// Each read sees all that was committed anywhere before it began.
    Linearizable,
    /// Linearizable as long as there is one primary; a primary that was replaced must be fenced.
    SinglePrimary,
    /// A read may miss what was committed before it: such a log cannot back `max_staleness`.
    MayBeStale,
}

/// The start of one log read: its point on the node's clock, and its number. The node makes it before the
/// statement is sent; a log only hands it back (`P4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadStart {
    tick: Tick,
    number: u64,
}

impl ReadStart {
    /// The start of the read with this `number`, at `tick`. Numbers belong to one node and never repeat.
    pub const fn new(tick: Tick, number: u64) -> Self {
        Self { tick, number }
    }

    /// When it began, on the node's clock.
    pub const fn tick(self) -> Tick {
        self.tick
    }

    /// Which read it is.
    pub const fn number(self) -> u64 {
        self.number
    }
}

/// One read of one page.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadRequest<'a> {
    /// Read on after this.
    pub after: &'a Cursor,
    /// At most this many entries.
    pub max_entries: usize,
    /// Stop after about this many bytes of keys and tags; at least one entry is returned all the same.
    pub max_bytes: usize,
    /// The start of this page's statement.
    pub started: ReadStart,
    /// The start of the first page of this series: of the first read after the last complete one.
    pub series_started: ReadStart,
    /// Wait up to this long for an entry when there is none. A log that cannot wait answers at once.
    pub wait: Option<Duration>,
}

impl<'a> ReadRequest<'a> {
    /// The first page of a series after `after`: at most 1,000 entries and 1 MiB, without waiting.
    pub const fn new(after: &'a Cursor, started: ReadStart) -> Self {
        Self {
            after,
            max_entries: 1_000,
            max_bytes: 1 << 20,
            started,
            series_started: started,
            wait: None,
        }
    }
}

/// What a read found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Page {
    /// Entries after the cursor, and how far they reach.
    Entries {
        /// In commit order, or any order that respects each origin's own.
        entries: Vec<LoggedEntry>,
        /// Where to read on.
        next: Cursor,
        /// Whether that was all.
        complete: Completeness,
    },
    /// The cursor is of no use any more. Flush, then go on from `next`; it counts as a complete read.
    Expired {
        /// Where to read on after the flush.
        next: Cursor,
        /// The start of the statement that fixed `next`.
        as_of: ReadStart,
        /// Why.
        reason: GapReason,
    },
}

/// Whether a page is the last of its series.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Completeness {
    /// There is more.
    Partial,
    /// Everything committed before this start has been returned by this page or an earlier one: the start
    /// of the statement that fixed what this series of pages returns. A log whose every page is its own
    /// snapshot says `started`; one that fixes the series with its first page says `series_started`.
    AsOf(ReadStart),
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Purged {
    /// How many entries it deleted.
    pub entries: u64,
}

impl Purged {
    /// `entries` were deleted.
    pub const fn new(entries: u64) -> Self {
        Self { entries }
    }
}

/// A statement that appends entries inside a transaction of any driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStatement {
    /// SQL with one placeholder, in the backend's own syntax.
    pub sql: String,
    /// The value of the placeholder: a text.
    pub parameter: String,
    /// How many rows it must insert. Fewer means that this is not the log's database: roll back.
    pub rows: u64,
}

impl LogStatement {
    /// A statement that must insert `rows` rows.
    pub const fn new(sql: String, parameter: String, rows: u64) -> Self {
        Self {
            sql,
            parameter,
            rows,
        }
    }
}

/// Implemented by a backend crate for its driver's transaction and connection types: how entries join a
/// transaction of the caller. Naming its own log as `L` satisfies the orphan rule, and lets
/// `invalidate_in(&mut tx, …)` infer the log.
pub trait JoinsLog<L: InvalidationLog>: Send {
    /// Appends `entries` to `log` inside this transaction; it neither commits nor rolls back. One position for each, or none
    /// at all where they are known only as it commits.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the transaction is on a database other than
    /// the log's. The caller rolls back on any error.
    fn append_in(
        &mut self,
        log: &L,
        entries: &[Entry],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send;
}

/// A log as the node keeps it.
pub type SharedLog = Arc<dyn InvalidationLog>;
