//! Deleting what every reader has long passed, by the server's own clock.

use std::time::Duration;

use invalidation_core::{Error, Purged};

use super::{
    Shared,
    reply::VERSION,
    scripts::{Arguments, PURGE},
    slot::bounded,
};

const OPERATION: &str = "purge";

/// Rows deleted in one step, in which the server does nothing else.
const CHUNK: u64 = 5_000;

/// Longer than any server's clock counts, and exact in the server's numbers.
const FOR_EVER: u128 = 1 << 52;

pub(crate) async fn purge(shared: &Shared, retention: Duration) -> Result<Purged, Error> {
    let retention = match retention.as_micros() {
        0 => String::new(),
        microseconds => microseconds.min(FOR_EVER).to_string(),
    };
    let mut total = 0;
    loop {
        let (deleted, more) = bounded(
            OPERATION,
            shared.settings.write_timeout,
            step(shared, &retention),
        )
        .await?;
        total += deleted;
        if !more {
            return Ok(Purged::new(total));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn step(shared: &Shared, retention: &str) -> Result<(u64, bool), Error> {
    let mut slot = shared.writer.lock().await;
    shared.check_open(OPERATION)?;
    let link = slot.take(OPERATION).await?;
    let arguments = Arguments::default()
        .and(retention)
        .and(CHUNK.to_string())
        .and(VERSION.to_string());
    let reply = PURGE
        .run(OPERATION, &link, &shared.settings.key, &arguments)
        .await?;
    slot.put(link);
    let deleted = reply.integer(4).and_then(|count| count.try_into().ok());
    Ok((deleted.unwrap_or_default(), reply.integer(5) == Some(1)))
}
