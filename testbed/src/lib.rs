//! Real servers for tests, as children of the test process: on free loopback ports, in fresh folders, and with
//! what it takes to disrupt them.
//!
//! ```no_run
//! use std::time::Duration;
//! use invalidation_testbed::{Backend, Proxy, Server, ping};
//!
//! # fn run() -> Result<(), invalidation_testbed::Error> {
//! let redis = Server::start(Backend::Redis)?; // one of its own, to disrupt; `shared` lends one to all tests
//! let proxy = Proxy::to(redis.address())?;
//! proxy.black_hole();
//! assert!(ping(Backend::Redis, proxy.address(), Duration::from_millis(100)).is_err());
//! proxy.heal();
//! redis.kill()?;
//! redis.restart()?; // on the same port
//! # Ok(()) }
//! ```
//!
//! # What is left behind
//! Nothing, however the test process ends. Before its first server a process starts one *keeper*, a shell that
//! waits for the end of a pipe which only the process holds. At that end, be it a return from `main`, a panic or
//! SIGKILL, the keeper kills every process of every server and removes their folders. It runs in a process group
//! of its own, so that what is sent to the test's group does not reach it. A parent-death signal was not enough:
//! it needs the spawning thread to live, does not reach the back ends of a postmaster, and removes no folder.
//!
//! # Which processes are a server's
//! Those with the name of its folder in their command line; every server is started so that all of its processes
//! have it (PostgreSQL by `cluster_name`, Redis by `proc-title-template`). That reaches the back ends of a
//! postmaster that is already dead, and needs no right to trace processes of other users.
//!
//! # Accounts
//! PostgreSQL, pgbouncer and MariaDB refuse to run as root: started by root they run as `postgres` or `mysql`,
//! the accounts their packages make. Any other user starts them as itself.
//!
//! # Absent servers
//! A server that is not installed is [`Error::Absent`], and [`Required::decide`] alone says what that means: a
//! test to report as ignored, or a failure where `REQUIRE_BACKENDS` names the server.
//!
//! # Blocking
//! Everything here blocks its thread, at most for the deadline that each item states, and needs no async
//! runtime, so that a server outlives the runtime of the test that started it. Async code calls it through
//! `spawn_blocking`. Needs Linux, for `/proc`.

mod account;
mod backend;
mod command;
mod error;
mod etcd;
mod folder;
mod keeper;
mod nats;
mod ping;
mod port;
mod processes;
mod proxy;
mod recipe;
mod redis;
mod require;
mod server;
mod shared;

pub use backend::{Backend, UnknownBackend};
pub use error::{Absent, Error};
pub use ping::ping;
pub use processes::Process;
pub use proxy::Proxy;
pub use redis::RedisSetup;
pub use require::{Offer, Required};
pub use server::Server;
pub use shared::shared;
