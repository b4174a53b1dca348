//! Whether all that this log reaches is one stream.
//!
//! Servers that are not one cluster have a stream each, and one URL may name several: a node that writes to one, while another
//! node reads from the other, would invalidate nothing there. So each server is asked when the log is installed, and with each
//! purge, and what is written is compared with what is read whenever a connection is new.

use futures_util::future::join_all;
use invalidation_core::{Error, ErrorKind, Retry};
use parking_lot::RwLock;
use tokio::time::timeout;

use super::{
    Shared,
    connection::{Connection, Session},
    cursor::Identity,
};
use crate::error::error;

/// Which share of an installation's time each server has to answer.
const SHARE: u32 = 4;

/// What the last survey found, if it was not one stream.
#[derive(Debug, Default)]
pub(super) struct Apart(RwLock<Option<String>>);

/// Looks whether what this log writes is what it reads, and what all others do, as far as is known.
///
/// # Errors
/// [`Retry::Permanent`]: neither a read nor an append would say what it seems to.
pub(super) async fn check(shared: &Shared, operation: &'static str) -> Result<(), Error> {
    if let Some(servers) = &*shared.apart.0.read() {
        return Err(refused(operation, servers));
    }
    let (Some(reader), Some(writer)) = (shared.reader.usable(), shared.writer.usable()) else {
        return Ok(());
    };
    let (Some(reads), Some(writes)) = (reader.seen(), writer.seen()) else {
        return Ok(());
    };
    if reads == writes {
        return Ok(());
    }
    // One of them may not have heard yet that the stream was made anew.
    let reads = shared.info(&reader, operation).await?.identity;
    let writes = shared.info(&writer, operation).await?.identity;
    match reads == writes {
        true => Ok(()),
        false => Err(refused(operation, &differ(shared, &reader, &writer))),
    }
}

/// The stream that a writer's session leads to, which is the one that is read.
pub(super) async fn written(
    shared: &Shared,
    writer: &Session,
    operation: &'static str,
) -> Result<Identity, Error> {
    let known = writer.seen();
    if known.is_none() {
        shared.info(writer, operation).await?;
    }
    check(shared, operation).await?;
    match writer.seen() {
        Some(identity) => Ok(identity),
        None => Ok(shared.info(writer, operation).await?.identity),
    }
}

/// Looks whether each server of the URL leads to the same stream. One that cannot be asked now is left out. What is found holds
/// until the next survey.
pub(super) async fn survey(
    shared: &Shared,
    session: &Session,
    operation: &'static str,
) -> Result<(), Error> {
    let servers = shared.reader.to_each_server();
    if servers.len() < 2 {
        return Ok(());
    }
    let looks = servers
        .iter()
        .map(|server| look(shared, session, server, operation));
    let found: Result<Vec<_>, _> = join_all(looks).await.into_iter().collect();
    let apart = found?.into_iter().flatten().next();
    let result = match &apart {
        Some(servers) => Err(refused(operation, servers)),
        None => Ok(()),
    };
    *shared.apart.0.write() = apart;
    result
}

/// How the stream of this server differs from the session's.
async fn look(
    shared: &Shared,
    session: &Session,
    server: &Connection,
    operation: &'static str,
) -> Result<Option<String>, Error> {
    let within = shared.settings.write_timeout / SHARE;
    let ask = async || {
        let asking = async {
            let other = server.session(operation).await.ok()?;
            let found = shared.api.info(&other, operation).await.ok()?;
            Some((other, found.map(|found| found.identity)))
        };
        timeout(within, asking).await.ok().flatten()
    };
    let Some((_, found)) = ask().await else {
        tracing::debug!(?server, "a server of the log's URL could not be asked");
        return Ok(None);
    };
    if found.is_some() && found == session.seen() {
        return Ok(None);
    }
    // It may just have been made anew.
    let own = shared.info(session, operation).await?.identity;
    Ok(match ask().await {
        Some((other, found)) if found != Some(own) => Some(differ(shared, session, &other)),
        _ => None,
    })
}

fn differ(shared: &Shared, one: &Session, other: &Session) -> String {
    let stream = &shared.api.place.stream;
    let [one, other] = [one, other].map(Session::server);
    format!("{one} and {other} do not have the same stream {stream}")
}

fn refused(operation: &'static str, servers: &str) -> Error {
    error(
        ErrorKind::Unavailable,
        operation,
        format!(
            "the servers of the URL are not one cluster: {servers}: name servers of one cluster alone, or connect them, and \
             delete the stream of all but one"
        ),
    )
    .with_retry(Retry::Permanent)
}
