//! Appends outside a transaction: concurrent callers are grouped into one statement.

use invalidation_core::{
    Entry, Error, ErrorKind, Position,
    backend::{AppendGroup, AppendLimits},
};

use crate::{
    connection::Missing,
    cursor::position,
    error::{BACKEND, breaks_connection, error, from_sqlx},
    file_identity::FileIdentity,
    insert::insert,
    log::Shared,
    read,
};

const OPERATION: &str = "append";

/// The bytes are far below SQLite's own limit of 10⁹ for a text.
pub(crate) const LIMITS: AppendLimits = AppendLimits::new(BACKEND);

impl AppendGroup for Shared {
    async fn append_group(&self, entries: &[&Entry]) -> Result<Vec<Position>, Error> {
        let mut slot = self.writer.lock().await;
        // Queued before the log was closed: it must not open the file again.
        self.check_open(OPERATION)?;
        // Twice, because the log may have been restored in place since its id was last read.
        for _ in 0..2 {
            let handle = slot.ready(OPERATION, Missing::Refuse).await?;
            let (log, file) = match handle.log {
                Some(log) => (log, handle.file),
                None => {
                    let (_, identity) = read::head(handle, OPERATION).await?;
                    self.learn(identity);
                    (identity.log, identity.file)
                }
            };
            match insert(&mut handle.connection, log, entries.iter().copied()).await {
                Ok(ids) if ids.len() == entries.len() => {
                    // Committed to a file that others no longer look at: nobody will read it (`P1`).
                    if FileIdentity::of(&self.settings.path).ok() != Some(file) {
                        slot.discard();
                        return Err(error(
                            ErrorKind::Unavailable,
                            OPERATION,
                            "the log's file was replaced during the append: append again",
                        ));
                    }
                    let identity = crate::cursor::Identity { log, file }.to_word();
                    return Ok(ids
                        .into_iter()
                        .map(|id| position(identity.clone(), id))
                        .collect());
                }
                Ok(_) => handle.log = None,
                Err(e) => {
                    if breaks_connection(&e) {
                        slot.discard();
                    }
                    return Err(from_sqlx(OPERATION, e));
                }
            }
        }
        Err(error(
            ErrorKind::Unavailable,
            OPERATION,
            "the log's id changes again and again: wait until the restore is over",
        ))
    }
}
