//! Authenticated HTTP fan-out: the fast path of the `cache-invalidation` framework that needs no server.
//!
//! Each node listens, and sends its frames to every peer of a list, of a name in DNS, or of those who share its log
//! (the peer `log`). A wrong list costs speed, never safety: what a peer does not get it reads from the log.
//!
//! ```no_run
//! # async fn run() -> Result<(), invalidation_core::Error> {
//! use invalidation_transport_http::HttpTransport;
//!
//! let transport = HttpTransport::builder("billing")
//!     .listen(([0, 0, 0, 0], 7400).into())
//!     .peer("dns:billing-headless:7400")
//!     .secret(std::env::var("INVALIDATION_SECRET").unwrap_or_default())
//!     .build()?;
//! # Ok(()) }
//! ```
//!
//! # Delivery semantics
//! - **At most once, one attempt.** A frame is sent once to each peer; it is never sent again. A peer listed
//!   twice gets it twice.
//! - **One connection and one bounded queue per peer** (`P16`): the first frame goes at once, what arrives
//!   while a request is in flight goes in the next, in order. No peer delays another.
//! - **Resync.** Whenever a frame did not reach a peer (it was down, slow, restarted, refused it, or its queue
//!   overflowed) the peer is sent one *resync*, which its node sees as
//!   [`Gap(Resync)`](invalidation_core::GapReason::Resync). It stays owed, and is tried again by itself with
//!   back-off, until the peer confirmed it or is no longer listed.
//! - **Outcomes.** `Ok(None)`: a subscription of the peer has it, or the peer could not tell in time that it
//!   was applied. `Ok(Some(_))`: every target applied it (when asked for). `TooLarge`: a queue overflowed, here
//!   or there. `TimedOut`: it may or may not have arrived. `Unavailable`: not sent, or the answer was lost. A
//!   peer whose node has no subscription never says it received anything.
//! - **Acknowledgements hold the line.** The answer to a batch waits for those it was asked for, at most three
//!   quarters of the sender's publish timeout; what is published meanwhile for that peer goes in the next request.
//! - **Circuit breaker.** After a failure, frames for that peer fail at once until it answers again.
//! - **Overflow at the receiver** drops the frame and yields
//!   [`Gap(Overflow)`](invalidation_core::GapReason::Overflow); gaps of one kind that nobody has read yet are one
//!   gap. A gap is yielded ahead of frames that wait.
//! - **A peer that is this node** is known by its signed answer, and left out of the outcomes.
//!
//! # Who is believed
//! Requests and answers carry an HMAC-SHA256 under a secret that all nodes share, over format, purpose, key,
//! cluster, sender, recipient, session, counter and body; an answer's also covers its request. The recipient is
//! named by its node id, made anew at each start, so that a request fits one run of one node. A node learns it,
//! and a *session*, by a hello whose answer is signed over a fresh nonce. Within a session each counter is
//! accepted once, by a window of 64. The number of windows is bounded; the sender whose window was forgotten is
//! told to say hello again, and its old session is never accepted again: session numbers rise, and none at or
//! below the highest that was forgotten gets a window. No clock takes part (`P17`).
//!
//! What is not signed right is refused before it changes anything, each reason with its own status, and is
//! counted (`P18`). Size is checked before hashing; time, connections and unverified requests are bounded, so
//! that strangers who fill those bounds can slow the fast path down, and nothing else: keep the port private.
//! Redirects are never followed. Discovered peers must be in an allow-list of networks and ports.
//!
//! The bodies are not encrypted: they hold names, keys and tags, never values. Where that matters, run it
//! through a mesh or sidecar with mTLS, or mount [`HttpTransport::router`] behind your own TLS and give peers the
//! address of a local TLS client.
//!
//! # Metrics
//! | counter | labels |
//! | --- | --- |
//! | `cache_invalidation_http_rejected_total` | `reason` |
//! | `cache_invalidation_http_peer_outcomes_total` | `outcome` |
//! | `cache_invalidation_http_breaker_changes_total` | `state`: open, closed |
//! | `cache_invalidation_http_resyncs_total` | `direction`: sent, received |
//! | `cache_invalidation_http_queue_collapses_total` | |
//! | `cache_invalidation_http_subscription_overflows_total` | |
//! | `cache_invalidation_http_peers_refused_total` | `reason`: not_allowed, too_many |
//! | `cache_invalidation_http_resolve_failures_total` | |
//!
//! The gauge `cache_invalidation_http_peers` tells how many peers are listed or discovered.

mod address;
mod auth;
mod breaker;
mod builder;
mod connect;
mod discover;
mod envelope;
mod exchange;
mod fleet;
mod listener;
mod members;
mod peer;
mod peer_queue;
mod refusal;
mod replay;
mod server;
mod subscribers;
mod transport;
mod wire;

pub use builder::HttpTransportBuilder;
pub use discover::Resolve;
pub use transport::HttpTransport;
