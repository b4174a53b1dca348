//! SQLite as the version log of the `cache-invalidation` framework: several processes of one host share one database
//! file, usually the service's own, so that a write and its invalidation commit together.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use invalidation_core::{CacheName, InvalidationLog};
//! use invalidation_log_sqlite::{Attach, SqliteLog};
//!
//! let log = SqliteLog::open("app.db").await?;
//! log.install().await?; // a node does this when it starts
//! let users = Attach::to(CacheName::new("users")?).key("{id}").tag("org:{org_id}");
//! log.attach("users", &users).await?; // from now on any program's UPDATE invalidates
//! # Ok(())
//! # }
//! ```
//!
//! # How nothing is missed
//! SQLite has one writer at a time, so the order of ids is the order of commits, and `id > last` misses nothing: a
//! transaction that is open still holds the lock that any later id needs. Each page is one statement, so the
//! log's identity, the purge floor, the witness and the rows are of one snapshot.
//!
//! A cursor holds the log's random id, device and inode of its file, the id of the last row read, and that row's
//! random nonce. A file replaced under the same path, even by an identical copy, is noticed by its inode; a state
//! restored in place by the nonce, even when the ids have grown past it again. What no log can tell is a restore to a
//! state at or after the cursor, that is one which took back only what this reader had not read yet.
//!
//! Ids are dense: SQLite keeps the highest one in `sqlite_sequence`, and a transaction that is rolled back gives its ids
//! back. So a row that was deleted by hand is missed, the newest one too, and whoever had not read it is told
//! ([`EntriesLost`](invalidation_core::GapReason::EntriesLost)). The only other hole is that of a row which `INSERT OR
//! IGNORE` left out since it was malformed; it flushes as well.
//!
//! # What it makes in the database
//! Three tables, whose names begin with `cache_invalidation_`; [`attach`](SqliteLog::attach) adds triggers. `install`
//! switches the database to WAL mode, in which readers and the writer never wait for one another. Any program may
//! append a row to `cache_invalidation_log`, without an id:
//!
//! | column | |
//! | --- | --- |
//! | `id` | never to be given by hand, so that it grows in the order of commits |
//! | `nonce` | random; the default serves |
//! | `cache` | the cache's name; NULL with the scope `everything` |
//! | `scope` | `keys`, `tags`, `all` or `everything` |
//! | `items` | the keys or tags, as a JSON array of texts |
//! | `at` | Unix time, for the retention alone; the default serves |
//!
//! ```sql
//! INSERT INTO cache_invalidation_log (cache, scope, items) VALUES ('users', 'keys', '["42"]');
//! ```
//!
//! A row that cannot be read clears its cache, or everything when not even that is known. Rows are never to be
//! changed or deleted by hand: whoever has not read them flushes everything, and a change is not noticed at all.
//!
//! # Members
//! Processes tell each other how they are reached by files in a folder beside the database, `app.db-members`, each locked
//! by its own process: who was killed is gone at once, and nothing is written to the database. Only a node with a transport
//! that asks makes one, and only on Unix. See [`Members`](invalidation_core::Members).
//!
//! # Limits
//! - One host: file locks do not work over network file systems. The file must not be replaced while its `-wal`
//!   file is left behind, as SQLite itself demands (<https://www.sqlite.org/howtocorrupt.html>).
//! - A connection of the service that was opened before the file was replaced goes on writing to the old file, its
//!   entries and its rows alike. Reconnect after a restore.
//! - A transaction that reads before it writes may be refused by SQLite when another one committed in between. Begin
//!   it with `BEGIN IMMEDIATE`.
//! - In a transaction over attached databases the log must be in `main`.
//! - On systems other than Unix a replaced file is told by its time of creation.

mod append;
mod attach;
mod builder;
mod connection;
mod cursor;
mod error;
mod file_identity;
mod insert;
mod join;
mod log;
mod members;
mod purge;
mod read;
mod schema;
mod stored;

pub use attach::{Attach, Attached};
pub use builder::{Access, Durability, SqliteLogBuilder};
pub use log::SqliteLog;
