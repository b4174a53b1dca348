//! One server of a kind for all tests of a binary.

use std::sync::OnceLock;

use crate::backend::Backend;
use crate::error::Error;
use crate::server::Server;

/// The server of this kind that all tests of the process use, started at the first call; others wait for it.
/// It runs until the process ends. Do not disrupt it: start one of your own for that.
///
/// The shared pgbouncer stands in front of the shared PostgreSQL.
///
/// # Errors
/// Those of [`Server::start`], the same at each call.
pub fn shared(backend: Backend) -> Result<&'static Server, Error> {
    static SERVERS: [OnceLock<Result<Server, Error>>; Backend::ALL.len()] =
        [const { OnceLock::new() }; Backend::ALL.len()];
    let server = SERVERS[backend as usize].get_or_init(|| match backend {
        Backend::Pgbouncer => {
            backend.program("pgbouncer")?;
            Server::pgbouncer(shared(Backend::Postgres)?.address())
        }
        _ => Server::start(backend),
    });
    server.as_ref().map_err(Clone::clone)
}
