//! Keeps the in-process caches of a service's many nodes coherent.
//!
//! Each node caches hot rows in its memory. A write on any node drops them on all: in milliseconds when everything
//! works, within one poll when messages are lost, and never later than a bound that you choose. Three layers, each
//! of which works when the one above it fails:
//!
//! | layer | mechanism | what it gives |
//! | --- | --- | --- |
//! | fast path | *transports*, such as HTTP fan-out | milliseconds, best effort |
//! | safety net | *the log*: a version log in your database, polled (every 500 ms by default) | nothing is missed, ever |
//! | hard bound | the *TTL*, from the start of the load and never extended, and the *lease* | an upper bound on staleness under any fault |
//!
//! # The main job
//! Read through a cache; write and invalidate in one transaction. Here with the log in memory, which serves a single
//! node; for several, name a database: `SqliteLog::open("app.db").await?`, whose transactions are those of `sqlx`.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use cache_invalidation::{Cache, MemoryLog, Node};
//! # use std::sync::atomic::{AtomicU32, Ordering};
//! # #[derive(Clone, Default)]
//! # struct Prices(Arc<AtomicU32>);
//! # impl Prices {
//! #     async fn load(&self, _: &str) -> Result<u32, std::io::Error> { Ok(self.0.load(Ordering::SeqCst)) }
//! #     fn store(&self, price: u32) { self.0.store(price, Ordering::SeqCst) }
//! # }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let prices = Prices::default();
//! let log = MemoryLog::new();
//! let node = Node::builder("shop").log(log.clone()).start().await?;
//! let cache: Cache<String, u32> = node
//!     .cache("prices")
//!     .capacity(100_000)
//!     .ttl(Duration::from_secs(60))
//!     .max_staleness(Duration::from_secs(2))
//!     .build()?;
//!
//! let price = cache.get_or_load("tea", || prices.load("tea")).await?; // one load, however many callers
//! assert_eq!(price, 0);
//!
//! let mut tx = log.begin();
//! # let table = prices.clone();
//! tx.and_write(move || table.store(3)); // with a database: UPDATE …
//! let pending = cache.invalidate_in(&mut tx, ["tea"]).await?; // exists exactly if the transaction commits
//! pending.commit(tx.commit()).await?; // gone here at once, elsewhere in milliseconds
//!
//! assert_eq!(cache.get_or_load("tea", || prices.load("tea")).await?, 3);
//! node.shutdown(Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Several nodes differ in what the builder gets, which is usually [configured](config) by the operator:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let node = cache_invalidation::config::Config::load()?.start().await?; // cache-invalidation.toml
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises, and under which faults
//! Every committed invalidation is applied by every live node, or a flush that covers it is; a load that began
//! before an invalidation is never cached after it; a cache with `max_staleness = L` never answers with a value
//! superseded more than `L` before the read began; `L = 0` is a strict read. This holds while
//!
//! - any process stops, pauses, crashes or restarts, at any instant;
//! - any message is lost, duplicated, delayed or reordered;
//! - a backend crashes, restarts, is restored from a copy or fails over, within what its
//!   [capabilities](LogCapabilities) claim.
//!
//! Outside of it, and yours to avoid:
//!
//! - **a loader that reads a stale replica**: what it loads may be older than the invalidation (`replica_lag` on the
//!   cache's builder narrows that, and excludes `max_staleness`);
//! - **a virtual machine that is paused together with its clock**: ages are measured on the node's own clock
//!   ([`NodeClock`]);
//! - **[`OnStale::Serve`]**, which asks for stale values while the log is away;
//! - **an old primary that nobody fenced**, and that still accepts reads;
//! - **no log**, or one log for each of several hosts (an SQLite file is shared by one host): then TTLs alone bound staleness.
//!
//! # Features
//! `sqlite`, `http` and `derive` are on by default; `config` refuses a backend that is not compiled in, and names the feature.
//! What each backend promises, side by side, stands in `docs/capabilities.md` of the repository.
//!
//! | feature | gives |
//! | --- | --- |
//! | `sqlite` | [`sqlite`]: a log that the processes of one host share, joins your transactions, and has triggers |
//! | `postgres` | [`postgres`]: a log in a PostgreSQL database for any number of hosts, joins your transactions, and has triggers; frames by LISTEN and NOTIFY |
//! | `mysql` | [`mysql`]: a log in a database of MySQL or MariaDB for any number of hosts, joins your transactions, and has triggers |
//! | `http` | [`http`]: authenticated HTTP fan-out, without a broker |
//! | `redis` | [`redis`]: a log in a stream of Redis or Valkey, and frames by Pub/Sub |
//! | `nats` | [`nats`]: a log in JetStream, and frames by core subjects |
//! | `etcd` | [`etcd`]: a log in etcd, and frames by puts and a watch. Its build needs `protoc` |
//! | `derive` | `#[derive(CacheKey)]` for types of your own |
//!
//! Always there: [`MemoryLog`] and [`MemoryTransport`], for a single node and for tests, and the two interfaces,
//! [`InvalidationLog`] and [`CacheInvalidationTransport`], for backends of your own.
// The page names all backends, also those that are not compiled in.
#![cfg_attr(
    not(all(
        feature = "sqlite",
        feature = "postgres",
        feature = "mysql",
        feature = "http",
        feature = "redis",
        feature = "nats",
        feature = "etcd"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod config;

pub use invalidation_core::*;
#[cfg(feature = "derive")]
pub use invalidation_derive::CacheKey;
#[cfg(feature = "mysql")]
#[doc(inline)]
pub use invalidation_log_mysql as mysql;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use invalidation_log_sqlite as sqlite;
#[cfg(feature = "etcd")]
#[doc(inline)]
pub use invalidation_transport_etcd as etcd;
#[cfg(feature = "http")]
#[doc(inline)]
pub use invalidation_transport_http as http;
#[cfg(feature = "nats")]
#[doc(inline)]
pub use invalidation_transport_nats as nats;
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use invalidation_transport_pg as postgres;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use invalidation_transport_redis as redis;
