//! Appends outside a transaction: concurrent callers are grouped into one statement.

use invalidation_core::{
    Entry, Error, ErrorKind, Position,
    backend::{AppendGroup, AppendLimits},
};

use super::{Shared, connection::bounded};
use crate::error::{BACKEND, breaks_connection, error, from_sqlx};

const OPERATION: &str = "append";

/// With every escape the bytes are far below PostgreSQL's own limit of 1 GB.
pub(crate) const LIMITS: AppendLimits = AppendLimits::new(BACKEND);

impl AppendGroup for Shared {
    async fn append_group(&self, entries: &[&Entry]) -> Result<Vec<Position>, Error> {
        bounded(OPERATION, self.settings.write_timeout, self.append(entries)).await
    }
}

impl Shared {
    async fn append(&self, entries: &[&Entry]) -> Result<Vec<Position>, Error> {
        let mut slot = self.writer.lock().await;
        // Queued before the log was closed: it must not connect again.
        self.check_open(OPERATION)?;
        let mut session = slot.take(OPERATION).await?;
        // Twice, because the server may have been restarted since its identity was last read.
        for _ in 0..2 {
            let known = *self.known.read();
            let log = match known {
                Some(log) => log,
                None => {
                    let (_, log) = self.statements.head(&mut session, OPERATION).await?;
                    self.learn(log);
                    log
                }
            };
            let schema = &self.settings.schema;
            match session.insert(schema, log, entries.iter().copied()).await {
                Ok(places) if places.len() == entries.len() => {
                    slot.put(session);
                    let identity = log.to_word();
                    return Ok(places
                        .into_iter()
                        .map(|place| place.to_position(identity.clone()))
                        .collect());
                }
                Ok(_) => self.forget(log),
                Err(e) => {
                    if !breaks_connection(&e) {
                        slot.put(session);
                    }
                    return Err(from_sqlx(OPERATION, e));
                }
            }
        }
        Err(error(
            ErrorKind::Unavailable,
            OPERATION,
            "the log's identity changes again and again: wait until the server is up, or the restore over",
        ))
    }
}
