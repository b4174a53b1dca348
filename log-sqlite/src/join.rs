//! Entries that join a transaction of the caller, and exist exactly if it commits (`P2`).

use std::path::Path;

use invalidation_core::{Entry, Error, ErrorKind, InvalidationLog, JoinsLog, Position};
use sqlx::{Sqlite, SqliteConnection, Transaction, pool::PoolConnection};

use crate::{
    SqliteLog,
    cursor::{Identity, position},
    error::{error, from_sqlx, is_missing_table},
    file_identity::FileIdentity,
    insert::insert,
};

const OPERATION: &str = "append_in";

impl JoinsLog<SqliteLog> for Transaction<'_, Sqlite> {
    async fn append_in(
        &mut self,
        log: &SqliteLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

/// Outside `BEGIN` … `COMMIT` a connection commits each statement, this one as well.
impl JoinsLog<SqliteLog> for SqliteConnection {
    async fn append_in(
        &mut self,
        log: &SqliteLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

/// Outside `BEGIN` … `COMMIT` a connection commits each statement, this one as well.
impl JoinsLog<SqliteLog> for PoolConnection<Sqlite> {
    async fn append_in(
        &mut self,
        log: &SqliteLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        append_in(self, log, entries).await
    }
}

async fn append_in(
    connection: &mut SqliteConnection,
    log: &SqliteLog,
    entries: &[Entry],
) -> Result<Vec<Position>, Error> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut identity = log.current_identity(OPERATION).await?;
    check_file(connection, identity).await?;
    for _ in 0..2 {
        let ids = match insert(connection, identity.log, entries.iter()).await {
            Ok(ids) => ids,
            Err(e) if is_missing_table(&e) => return Err(other_database().with_source(e)),
            Err(e) => return Err(from_sqlx(OPERATION, e)),
        };
        if ids.len() == entries.len() {
            let word = identity.to_word();
            return Ok(ids
                .into_iter()
                .map(|id| position(word.clone(), id))
                .collect());
        }
        // The log may have been restored in place since its id was last read.
        let known = identity;
        log.head().await?;
        identity = log.current_identity(OPERATION).await?;
        if identity == known {
            break;
        }
    }
    Err(other_database())
}

/// A copy of the log's database has the same log in it: only the file tells them apart.
async fn check_file(connection: &mut SqliteConnection, log: Identity) -> Result<(), Error> {
    let file = sqlx::query_scalar::<_, Option<String>>(
        "SELECT file FROM pragma_database_list WHERE name = 'main'",
    )
    .fetch_one(connection)
    .await
    .map_err(|e| from_sqlx(OPERATION, e))?;
    match file {
        Some(file) if FileIdentity::of(Path::new(&file)).ok() == Some(log.file) => Ok(()),
        _ => Err(other_database()),
    }
}

fn other_database() -> Error {
    error(
        ErrorKind::Invalid,
        OPERATION,
        "the transaction is on another database than the log's: begin it on the log's file, or open the log \
         on the transaction's",
    )
}
