//! Entries that join a transaction of the caller, and exist exactly if it commits (`P2`).

use invalidation_core::{Entry, Error, ErrorKind, InvalidationLog, JoinsLog, Position};
use sqlx::{MySql, MySqlConnection, Transaction, pool::PoolConnection};

use crate::{
    append::{LIMITS, check_packet, positions},
    error::{error, from_sqlx, is_missing_table},
    insert::{insert, parameter, statement},
    log::MySqlLog,
};

const OPERATION: &str = "append_in";

impl JoinsLog<MySqlLog> for Transaction<'_, MySql> {
    async fn append_in(
        &mut self,
        log: &MySqlLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

/// Outside `BEGIN` … `COMMIT` a connection commits each statement, this one as well.
impl JoinsLog<MySqlLog> for MySqlConnection {
    async fn append_in(
        &mut self,
        log: &MySqlLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

/// Outside `BEGIN` … `COMMIT` a connection commits each statement, this one as well.
impl JoinsLog<MySqlLog> for PoolConnection<MySql> {
    async fn append_in(
        &mut self,
        log: &MySqlLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

async fn append_in(
    connection: &mut MySqlConnection,
    log: &MySqlLog,
    entries: &[Entry],
) -> Result<Vec<Position>, Error> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    LIMITS.check(OPERATION, entries)?;
    let mut known = log.current(OPERATION).await?;
    for _ in 0..2 {
        let sql = statement(log.database(), known.flavour);
        let parameter = parameter(&known.server, entries.iter());
        check_packet(OPERATION, &known, &parameter)?;
        let inserted = match insert(connection, &sql, &parameter).await {
            Ok(inserted) => inserted,
            Err(e) if is_missing_table(&e) => return Err(other_server().with_source(e)),
            Err(e) => return Err(from_sqlx(OPERATION, e)),
        };
        if inserted == entries.len() as u64 {
            return Ok(positions(known.epoch, entries.iter()));
        }
        // Another server may have taken over since it was last looked at.
        let before = known;
        log.head().await?;
        known = log.current(OPERATION).await?;
        if known.server == before.server {
            break;
        }
    }
    Err(other_server())
}

fn other_server() -> Error {
    error(
        ErrorKind::Invalid,
        OPERATION,
        "the transaction is on another server than the log's, or the log is not installed there: begin it on the log's \
         server, or connect the log to the transaction's",
    )
}
