//! Redis and Valkey as the version log and as a transport of the `cache-invalidation` framework.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use invalidation_transport_redis::{RedisLog, RedisTransport};
//!
//! let url = "rediss-sentinel://app@s1.internal,s2.internal,s3.internal/main";
//! let log = RedisLog::builder(url).cluster("billing").password("secret").connect().await?;
//! let transport = RedisTransport::builder("billing").url(url).password("secret").build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised, and what is weaker
//! | | [`RedisTransport`] | [`RedisLog`] |
//! | --- | --- | --- |
//! | by | Pub/Sub, sharded in a cluster | a stream with dense ids, by Lua scripts |
//! | what the server took is kept | no: at most once | while the server lives; a crash, and a failover before replicas have it, may take it back |
//! | what is lost is told | as a gap, or by the end of a subscription | as a gap, by the server's history, or by who appended it |
//! | a write and its invalidation are one step | | where the data is in the same Redis: [`RedisWrite`] |
//! | one primary alone serves | as long as Redis itself knows that there is one | as with the transport |
//!
//! Redis has no quorum: a primary that is cut off from its Sentinels or its cluster goes on serving those who reach it,
//! until it is told of its successor. It refuses to acknowledge appends before that with `min-replicas-to-write`, and is
//! left by every node that finds the successor.
//!
//! # Servers
//! - Redis 6 or newer for the transport, 7 for clusters and the log; or Valkey. Every connection speaks RESP3.
//! - Connections go to the primary: a replica is refused, also one that was a primary when it was connected to. Where it may
//!   change, give the Sentinels, the cluster, or a name that follows it.
//! - TLS is that of rustls, with ring. Nothing is installed for the whole process. See [`Protection`] for what a URL's link is
//!   worth.
//! - Users need few rights: see [`RedisTransport`] and [`RedisLog`] for each.

mod error;
mod log;
mod server;
mod transport;

pub use log::{RedisLog, RedisLogBuilder, RedisWrite};
pub use server::Protection;
pub use transport::{RedisTransport, RedisTransportBuilder};
