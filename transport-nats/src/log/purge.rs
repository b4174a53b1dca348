//! What is old goes: from the first message on, as a whole, never the newest.
//!
//! The floor is the stream's own first sequence, which the server raises together with the deletion and tells in the state
//! that each read asks for (`P13`).

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use invalidation_core::{Error, Purged};
use tokio::time::timeout;

use super::{
    Shared,
    api::{Info, Stored},
    connection::Session,
    fleet, record,
};
use crate::error::timed_out;

const OPERATION: &str = "purge";

/// How many messages go in one step.
const STEP: u64 = 256;
/// How many of them are asked for at once.
const AT_ONCE: usize = 16;

/// Deletes all that is older than `retention`, and looks whether the servers are one cluster still: nodes purge now and then.
pub(super) async fn purge(shared: &Shared, retention: Duration) -> Result<Purged, Error> {
    let limit = shared.settings.write_timeout;
    let surveying = async {
        let session = shared.writer.session(OPERATION).await?;
        fleet::survey(shared, &session, OPERATION).await
    };
    match timeout(limit, surveying).await {
        Ok(done) => done?,
        Err(_) => return Err(timed_out(OPERATION, limit)),
    }
    let mut purged = 0;
    loop {
        match timeout(limit, step(shared, retention)).await {
            Ok(Ok(Some(entries))) => purged += entries,
            Ok(Ok(None)) => return Ok(Purged::new(purged)),
            Ok(Err(e)) => return Err(e),
            Err(_) => return Err(timed_out(OPERATION, limit)),
        }
    }
}

/// One step: how many entries went, or `None` when nothing more is to go.
async fn step(shared: &Shared, retention: Duration) -> Result<Option<u64>, Error> {
    let session = shared.writer.session(OPERATION).await?;
    let info = shared.info(&session, OPERATION).await?;
    let old = old(shared, &session, &info, retention).await?;
    let Some(newest) = old.last() else {
        return Ok(None);
    };
    let below = newest.sequence + 1;
    let deleted = shared.api.purge(&session, OPERATION, below).await?;
    // Another node may have deleted the first of them meanwhile.
    let deleted = usize::try_from(deleted).unwrap_or(usize::MAX);
    let own = old.iter().rev().take(deleted);
    let entries = own.map(|stored| record::payloads(&stored.payload).len() as u64);
    Ok(Some(entries.sum()))
}

/// The first messages that are old enough, at most a step of them.
async fn old(
    shared: &Shared,
    session: &Session,
    info: &Info,
    retention: Duration,
) -> Result<Vec<Stored>, Error> {
    let mut old = Vec::new();
    if info.messages < 2 {
        return Ok(old);
    }
    let age = Age {
        seen: shared.ages.older_than(retention).unwrap_or(0),
        newest: i128::from(info.last_stored.0),
        retention: i128::try_from(retention.as_nanos()).unwrap_or(i128::MAX),
    };
    // The last one stays: it is the witness of all who have read everything.
    let end = info.last.min(info.first.saturating_add(STEP));
    let mut messages = stream::iter(info.first..end)
        .map(|sequence| shared.api.get(session, OPERATION, sequence))
        .buffered(AT_ONCE);
    while let Some(got) = messages.next().await {
        match got? {
            Some(stored) if age.is_over(&stored) => old.push(stored),
            Some(_) => break,
            // Deleted by hand.
            None => {}
        }
    }
    Ok(old)
}

/// What is older than the retention: whatever this process has seen that long ago, and whatever the server stored so much
/// earlier than its newest. No clock of this process is compared with the server's (`P17`).
struct Age {
    seen: u64,
    newest: i128,
    retention: i128,
}

impl Age {
    fn is_over(&self, stored: &Stored) -> bool {
        let before_newest = self.newest - i128::from(stored.witness.stored.0);
        stored.sequence <= self.seen || before_newest > 0 && before_newest >= self.retention
    }
}
