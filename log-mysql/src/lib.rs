//! MySQL 8.0.13 and MariaDB 10.6, or newer, as the version log of the `cache-invalidation` framework: a write and its
//! invalidation commit together, in any transaction on the server.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use invalidation_core::{CacheName, InvalidationLog};
//! use invalidation_log_mysql::{Attach, MySqlLog};
//!
//! let log = MySqlLog::connect("mysql://app:secret@db/billing?ssl-mode=VERIFY_IDENTITY").await?;
//! log.install().await?; // a node does this when it starts
//! let users = Attach::to(CacheName::new("users")?).key("{id}").tag("org:{org_id}");
//! log.attach("users", &users).await?; // from now on any program's UPDATE invalidates
//! # Ok(())
//! # }
//! ```
//!
//! # How nothing is missed
//! Ids are given in another order than transactions commit in, so `id > last` skips rows, and these servers tell nobody which
//! transactions are open. Here rows are inserted without a number, and whoever reads *stamps* those that he finds
//! committed with the next numbers of one counter, under a lock that lasts for one message. Numbers are dense and follow
//! commits, and a cursor is a number.
//!
//! A read looks, stamps what it found without a number, and looks again; where it found none, the first look is the page.
//! Each look is one view of the database: identity, purge floor, witness and rows. What cannot be stamped now, because
//! another reader is at it or this user may not, is returned all the same, and the cursor remembers it: so each entry comes
//! once, no reader waits for another, and the page is complete as of its start. Only rows that a look has *seen* are
//! stamped, so that nobody meets an entry before the change that it stands for.
//!
//! Neither side locks what the other needs: an append reads no table, stamping and purging run at READ COMMITTED on single
//! rows whose transactions have ended, and each connection inserts in a place of its own, so that the lock which these
//! servers may leave there after a rollback to a savepoint holds no other up.
//!
//! A row counts as old enough to be purged from when it was stamped, however long its transaction was open.
//!
//! # What expires a cursor
//! The log's epoch, a random number, is written anew by whoever finds another server (`server_uuid`; on MariaDB
//! `server_id`, port and host name), another start of it, or a table made at another second. So a restart, a failover and a
//! restored dump each cost every reader one flush. A hole among the numbers is a row that was deleted by hand
//! ([`EntriesLost`](invalidation_core::GapReason::EntriesLost)); one that was deleted before it had a number leaves none.
//!
//! # What it makes in the database
//! Three tables and six procedures, named `cache_invalidation_…`, in the database of the URL unless told otherwise.
//! [`MySqlLog::install_sql`] and [`MySqlLog::grant_sql`] give the SQL for administrators whose programs may not make
//! tables. Any program invalidates in a transaction of its own by a procedure:
//!
//! ```sql
//! CALL cache_invalidation_key('users', '42');
//! CALL cache_invalidation_keys('users', '["42", "43"]');
//! CALL cache_invalidation_tag('users', 'org:7');
//! CALL cache_invalidation_tags('users', JSON_ARRAY('org:7', 'org:8'));
//! CALL cache_invalidation_clear('users');
//! CALL cache_invalidation_everything();
//! ```
//!
//! or by a row of the table `cache_invalidation_log`:
//!
//! | column | |
//! | --- | --- |
//! | `seq`, `slot`, `id`, `stamped` | never to be given by hand |
//! | `nonce` | random; the default serves |
//! | `cache` | the cache's name; NULL with the scope `everything` |
//! | `scope` | `keys`, `tags`, `all` or `everything` |
//! | `items` | the keys or tags, as a JSON array of texts |
//!
//! A row that cannot be read clears its cache, or everything when not even that is known. Rows are never to be changed,
//! locked or deleted by hand.
//!
//! # Limits
//! - Reads go to the primary. A server that is `read_only` is refused, since replicas are and lag; so is one of several
//!   primaries (Galera, group replication in that mode). An old primary that nobody fenced is not told from the new one.
//! - `innodb_flush_log_at_trx_commit` other than 1 takes acknowledged appends back in a crash of the machine. Readers are
//!   told.
//! - A server that is killed and started again within the second in which it had started, and a dump that is restored within
//!   the second in which the tables were made, are not told by that.
//! - `binlog_format = STATEMENT` is refused by the server itself: use ROW or MIXED.
//! - A user whose plugin is `caching_sha2_password` needs TLS: `ssl-mode=REQUIRED` or better in the URL.
//! - There are triggers for rows alone: see [`MySqlLog::attach`] for what they do not see.
//! - More than 2,000 rows that wait for a number at once get theirs in the order of each connection, not of each node.

mod append;
mod attach;
mod builder;
mod connection;
mod cursor;
mod database_name;
mod error;
mod flavour;
mod header;
mod insert;
mod join;
mod log;
pub mod protection;
mod purge;
mod read;
mod schema;
mod stamp;

pub use attach::{Attach, Attached};
pub use builder::MySqlLogBuilder;
pub use log::MySqlLog;
