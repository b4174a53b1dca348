//! NATS as a transport and JetStream as the version log of the `cache-invalidation` framework. For servers 2.9 and later.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use invalidation_core::{CacheInvalidationTransport as _, InvalidationLog as _};
//! use invalidation_transport_nats::{NatsLog, NatsTransport};
//!
//! let log = NatsLog::builder("tls://nats-1,nats-2,nats-3")
//!     .cluster("billing")
//!     .credentials_file("/etc/app/nats.creds")
//!     .connect()
//!     .await?;
//! log.install().await?; // a node does this when it starts
//! let transport = NatsTransport::builder("billing")
//!     .url("tls://nats-1,nats-2,nats-3")
//!     .credentials_file("/etc/app/nats.creds")
//!     .build()?;
//! transport.probe().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Either serves without the other: [`NatsTransport`] is the fast path, and [`NatsLog`] the safety net.
//!
//! # What the transport promises, and what it cannot
//! | | |
//! | --- | --- |
//! | `Ok` of a publish | the server that this node is connected to has taken the frame |
//! | a subscription is live when it is returned | seen by a message that came over it; at one of several servers, told by a gap once more, when the others have heard of it |
//! | a link that is lost, cut by the server, or silent ends the subscription | yes, a silent one within `notices_loss_within` |
//! | frames that a node does not read are told | yes, as a gap |
//! | frames that are lost between two servers of a cluster are told | no: no client hears of it. The numbers of the next frames tell it, or the log |
//! | who is refused is told at once, and why | yes, also rights that are missing. When one is taken away, the server says so in no order with its answers: a frame that it refused just then may still be `Ok`, and the next ones are not |
//!
//! # What the log promises, and what it cannot
//! [`NatsLog`] keeps the log in a stream of JetStream, told in full [there](NatsLog#what-it-promises): nothing that is in the
//! stream is missed without a gap, whoever purged, trimmed, restored or recreated it. It is **not transactional**. With one
//! replica, which is the default, a machine that crashes may take the last two minutes of acknowledged entries with it, unless
//! the server syncs always; with several, its reads may be stale while a leader is cut off, so that it cannot back
//! `max_staleness`. The `Ok` of an append is the stream's own acknowledgement, and of no message that was refused.
//!
//! # Servers, users and TLS
//! A URL names the servers of one cluster, `nats://HOST:PORT,HOST:PORT`, or with `tls://` for links that are encrypted and
//! checked. Who the client is stands in it, or is given apart: a user and password, a token, the seed of an nkey, or a
//! credentials file.
//! TLS is that of rustls with ring, for these links alone: no provider is installed for the process. [`Protection`] tells how
//! well a URL's link is protected.
//!
//! Every connection is that of a driver's client of its own, which never connects again: what the driver would keep, and send
//! over another connection later, is lost with the link, and whoever waited for it is told.

mod error;
mod log;
mod server;
mod transport;

pub use log::{NatsLog, NatsLogBuilder, Storage, StreamSettings, WhenFull};
pub use server::Protection;
pub use transport::{NatsTransport, NatsTransportBuilder};
