//! PostgreSQL, 13 or newer, as the version log of the `cache-invalidation` framework: a write and its invalidation
//! commit together, in any transaction on the database.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use invalidation_core::{CacheName, InvalidationLog};
//! use invalidation_transport_pg::{Attach, PgLog};
//!
//! let log = PgLog::connect("postgres://app:secret@db/billing").await?;
//! log.install().await?; // a node does this when it starts
//! let users = Attach::to(CacheName::new("users")?).key("{id}").tag("org:{org_id}");
//! log.attach("public.users", &users).await?; // from now on any program's UPDATE invalidates
//! # Ok(())
//! # }
//! ```
//!
//! # How nothing is missed
//! Neither ids nor xids are given in the order in which transactions commit, so `id > last` skips rows. Here a cursor
//! holds the `pg_snapshot` of the last read, and a page returns what the present snapshot sees and the cursor's does
//! not: each committed row exactly once, beside any number of open transactions, none of which holds others up.
//!
//! Each page is one statement, so its identity, purge floor, witness and rows are of one snapshot. The identity is made
//! of all that changes when the server's past may have changed: system identifier, timeline, start of the server, oids of
//! the database and the table, and a random epoch in an unlogged table. A crash empties that table: after it the server
//! uses xids again that it had shown in snapshots. So a restart, a crash, a failover and a restore each cost every
//! reader one flush, and no row is lost.
//!
//! A row counts as old enough to be purged from when it was *visible*, however long its transaction was open.
//!
//! # What it makes in the database
//! A schema, `cache_invalidation` unless told otherwise, with six tables, and functions.
//! [`PgLog::install_sql`] and [`PgLog::grant_sql`] give the SQL for administrators whose programs may not make tables. No
//! superuser is needed. Any program invalidates in a transaction of its own by a function; none may be executed by
//! anybody who was not given that:
//!
//! ```sql
//! SELECT cache_invalidation.keys('users', '42', '43');
//! SELECT cache_invalidation.tags('users', 'org:7');
//! SELECT cache_invalidation.clear('users');
//! SELECT cache_invalidation.everything();
//! SELECT cache_invalidation.attach('public.users', 'users', key => '{id}', tags => '{"org:{org_id}"}');
//! SELECT cache_invalidation.detach('public.users', 'users');
//! ```
//!
//! or by a row of the table `log`:
//!
//! | column | |
//! | --- | --- |
//! | `xid`, `id` | never to be given by hand |
//! | `nonce` | random; the default serves |
//! | `cache` | the cache's name; NULL with the scope `everything` |
//! | `scope` | `keys`, `tags`, `all` or `everything` |
//! | `items` | the keys or tags, as a JSON array of texts |
//!
//! A row that cannot be read clears its cache, or everything when not even that is known. Rows are never to be
//! changed or deleted by hand. Triggers of the table tell of a deletion all who had not read the
//! rows, and of a truncation everybody.
//!
//! # Poolers
//! Behind a pooler in transaction mode the parts of the extended protocol go to different sessions, and a client
//! silently gets the answer to another's statement. The log finds out whether one is in between ([`Pooling`]), speaks the
//! simple protocol alone through it, and checks in every answer to a read that it is the one to its request.
//!
//! # Members
//! Nodes tell each other in the table `members` how they are reached: every few seconds the statement of a poll writes the
//! node's row, and lists the others'. Most polls write nothing, and none does for a node without a transport that asks.
//! See [`Members`](invalidation_core::Members) and [`PgLogBuilder::members_expire_after`].
//!
//! # Limits
//! - Reads go to the primary; a standby is refused. An old primary that nobody fenced is not told from the new one.
//! - `fsync` off, or `synchronous_commit` off, takes acknowledged appends back in a crash. Readers are told.
//!
//! # The fast path
//! [`PgTransport`] carries frames by `LISTEN` and `NOTIFY`.

mod error;
mod log;
pub mod protection;
mod transport;

pub use log::{Attach, Attached, PgLog, PgLogBuilder, Pooling};
pub use transport::{PgTransport, PgTransportBuilder};
