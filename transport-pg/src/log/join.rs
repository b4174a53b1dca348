//! Entries that join a transaction of the caller, and exist exactly if it commits (`P2`).

use invalidation_core::{Entry, Error, ErrorKind, InvalidationLog, JoinsLog, Position};
use sqlx::{PgConnection, Postgres, Transaction, pool::PoolConnection};

use super::{
    PgLog,
    append::LIMITS,
    insert::{insert_as_text, insert_prepared},
};
use crate::error::{error, from_sqlx, is_missing_table};

const OPERATION: &str = "append_in";

impl JoinsLog<PgLog> for Transaction<'_, Postgres> {
    async fn append_in(&mut self, log: &PgLog, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

/// Outside `BEGIN` … `COMMIT` a connection commits each statement, this one as well.
impl JoinsLog<PgLog> for PgConnection {
    async fn append_in(&mut self, log: &PgLog, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

/// Outside `BEGIN` … `COMMIT` a connection commits each statement, this one as well.
impl JoinsLog<PgLog> for PoolConnection<Postgres> {
    async fn append_in(&mut self, log: &PgLog, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

async fn append_in(
    connection: &mut PgConnection,
    log: &PgLog,
    entries: &[Entry],
) -> Result<Vec<Position>, Error> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    LIMITS.check(OPERATION, entries)?;
    let mut identity = log.current_identity(OPERATION).await?;
    let schema = &log.shared.settings.schema;
    for _ in 0..2 {
        let inserted = if log.shared.settings.is_pooled() {
            insert_as_text(connection, "", schema, identity, entries.iter()).await
        } else {
            insert_prepared(connection, schema, identity, entries.iter()).await
        };
        let places = match inserted {
            Ok(places) => places,
            Err(e) if is_missing_table(&e) => return Err(other_database().with_source(e)),
            Err(e) => return Err(from_sqlx(OPERATION, e)),
        };
        if places.len() == entries.len() {
            let word = identity.to_word();
            return Ok(places
                .into_iter()
                .map(|place| place.to_position(word.clone()))
                .collect());
        }
        // The server may have been restarted since its identity was last read.
        let known = identity;
        log.head().await?;
        identity = log.current_identity(OPERATION).await?;
        if identity == known {
            break;
        }
    }
    Err(other_database())
}

fn other_database() -> Error {
    error(
        ErrorKind::Invalid,
        OPERATION,
        "the transaction is on another database than the log's, or the log is not installed there: begin it on the \
         log's database, or connect the log to the transaction's",
    )
}
