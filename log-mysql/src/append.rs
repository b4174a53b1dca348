//! Appends outside a transaction: concurrent callers are grouped into one statement.

use invalidation_core::{
    Entry, Error, ErrorKind, Position,
    backend::{AppendGroup, AppendLimits},
};

use crate::{
    connection::bounded,
    cursor::{Epoch, position},
    error::{BACKEND, breaks_connection, error, from_sqlx, is_denied},
    insert::{insert, nonce, parameter, statement},
    log::{Known, Shared},
};

const OPERATION: &str = "append";

/// The bytes are far below the servers' own limit of 1 GB. Most are configured for less (`max_allowed_packet`).
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
        // Twice, because another server may have taken over since it was last looked at.
        for _ in 0..2 {
            let known = self.known_on(OPERATION, &mut session).await?;
            let sql = statement(&self.settings.database, known.flavour);
            let parameter = parameter(&known.server, entries.iter().copied());
            if let Err(e) = check_packet(OPERATION, &known, &parameter) {
                slot.put(session);
                return Err(e);
            }
            match insert(&mut session.connection, &sql, &parameter).await {
                Ok(inserted) if inserted == entries.len() as u64 => {
                    slot.put(session);
                    return Ok(positions(known.epoch, entries.iter().copied()));
                }
                Ok(_) => session.is_known = false,
                Err(e) => {
                    // A user's new rights are those of a new connection.
                    if !breaks_connection(&e) && !is_denied(&e) {
                        slot.put(session);
                    }
                    return Err(from_sqlx(OPERATION, e));
                }
            }
        }
        Err(error(
            ErrorKind::Unavailable,
            OPERATION,
            "the log finds itself on another server again and again: wait until the failover is over",
        ))
    }
}

/// Where the entries stand: by their nonces.
pub(crate) fn positions<'a>(
    epoch: Epoch,
    entries: impl Iterator<Item = &'a Entry>,
) -> Vec<Position> {
    let identity = epoch.to_word();
    entries
        .map(|entry| position(identity.clone(), nonce(entry)))
        .collect()
}

/// Refuses what the server would end the connection for.
pub(crate) fn check_packet(
    operation: &'static str,
    known: &Known,
    parameter: &str,
) -> Result<(), Error> {
    /// What surrounds the parameter.
    const AROUND: usize = 4_096;
    if parameter.len().saturating_add(AROUND) <= known.max_packet {
        return Ok(());
    }
    Err(error(
        ErrorKind::TooLarge,
        operation,
        format!(
            "{} bytes of keys and tags are more than the server's max_allowed_packet of {}: append fewer at a time, or \
             clear the cache",
            parameter.len(),
            known.max_packet
        ),
    ))
}
