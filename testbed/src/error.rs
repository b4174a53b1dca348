//! What can go wrong, each with what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, UnknownBackend};

/// Why a server is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Absent {
    /// Which server.
    pub backend: Backend,
    /// What is missing.
    pub because: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, because } = self;
        let package = backend.package();
        write!(
            f,
            "{backend} is absent, because {because}; install the Debian package {package}"
        )
    }
}

/// A server, or something done to it, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server is not installed. [`Required::decide`](crate::Required::decide) says whether that is a failure.
    #[error("{0}")]
    Absent(Absent),
    /// The server is not installed, and `REQUIRE_BACKENDS` names it.
    #[error("{0}, or take it out of REQUIRE_BACKENDS")]
    Required(Absent),
    /// `REQUIRE_BACKENDS` names something that is no server.
    #[error("REQUIRE_BACKENDS: {0}")]
    UnknownBackend(#[from] UnknownBackend),
    /// A program that prepares a server failed, or took too long.
    #[error("{backend}: `{program}` {outcome}; it said:\n{output}")]
    #[non_exhaustive]
    Preparation {
        /// Which server.
        backend: Backend,
        /// Which program.
        program: String,
        /// How it ended.
        outcome: String,
        /// The end of its output.
        output: String,
    },
    /// A started server ended by itself.
    #[error("{backend} on {address} ended while it started ({status}); the end of its log:\n{log}")]
    #[non_exhaustive]
    Ended {
        /// Which server.
        backend: Backend,
        /// Where it was to listen.
        address: SocketAddr,
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// A started server did not answer in time.
    #[error(
        "{backend} on {address} was not ready within {within:?} (last: {last}); the end of its log:\n{log}"
    )]
    #[non_exhaustive]
    NotReady {
        /// Which server.
        backend: Backend,
        /// Where it listens.
        address: SocketAddr,
        /// How long it had.
        within: Duration,
        /// What the last attempt met.
        last: String,
        /// The end of its log.
        log: String,
    },
    /// A server's processes did not do in time what a signal asks for.
    #[error("{backend}: processes {processes} did not {wish} within {within:?}")]
    #[non_exhaustive]
    Disobeyed {
        /// Which server.
        backend: Backend,
        /// What they were asked to do.
        wish: &'static str,
        /// How long they had.
        within: Duration,
        /// Their process ids.
        processes: String,
    },
    /// The server is not running, and what was asked for needs it.
    #[error("{backend} is not running; `restart` it first")]
    #[non_exhaustive]
    NotRunning {
        /// Which server.
        backend: Backend,
    },
    /// The server did not answer, or not as such a server does.
    #[error("{backend} at {address} does not answer: {reason}")]
    #[non_exhaustive]
    Unanswered {
        /// Which server.
        backend: Backend,
        /// Where it was asked.
        address: SocketAddr,
        /// What was met instead.
        reason: String,
    },
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    #[non_exhaustive]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Arc<io::Error>,
    },
}

impl Error {
    /// For `map_err`: names what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io {
            doing,
            source: Arc::new(source),
        }
    }
}
