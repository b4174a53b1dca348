//! Making a log that a crash or a restore left behind fit to be read again.

use invalidation_core::Error;

use super::{connection::Session, schema::home, schema_name::SchemaName};

/// Whoever finds the unlogged table empty writes a new epoch; the first of several wins.
const NEW_EPOCH: &str = "INSERT INTO {s}.epoch DEFAULT VALUES ON CONFLICT DO NOTHING";

/// Takes turns with all others who settle or purge.
const LOCK: &str = "SELECT 1 FROM {s}.meta FOR UPDATE";

const IS_HOME: &str = concat!("SELECT 1 FROM {s}.meta WHERE home = ", home!());

/// The rows, ticks and floor of a dump hold xids of the server that it was made on: here they stand for other
/// transactions, or for ones that never come. No cursor can be read on from anyway, since each is of another
/// identity. Rows that were appended meanwhile are gone with them, before any cursor of the new identity was given
/// out: the flush of every reader covers them (`P1`).
const MOVE_IN: &str = concat!(
    "DELETE FROM {s}.log; DELETE FROM {s}.ticks; DELETE FROM {s}.epoch;
UPDATE {s}.meta SET floor_xid = NULL, floor_id = NULL, floor_nonce = NULL, floor_tick = NULL,
    floor_snapshot = NULL, home = ",
    home!(),
    ";"
);

/// Does what the state of the tables needs; idempotent, and safe in any number of processes at once.
pub(crate) async fn settle(
    session: &mut Session,
    schema: &SchemaName,
    operation: &'static str,
) -> Result<(), Error> {
    if !is_home(session, schema, operation).await? {
        session.begin(operation).await?;
        session.run(operation, &schema.sql(LOCK)).await?;
        if !is_home(session, schema, operation).await? {
            tracing::warn!(
                schema = schema.as_str(),
                "the log was restored from a dump: it begins anew, and every reader flushes"
            );
            session.run(operation, &schema.sql(MOVE_IN)).await?;
        }
        session.commit(operation).await?;
    }
    session.run(operation, &schema.sql(NEW_EPOCH)).await?;
    Ok(())
}

async fn is_home(
    session: &mut Session,
    schema: &SchemaName,
    operation: &'static str,
) -> Result<bool, Error> {
    let rows = session.run(operation, &schema.sql(IS_HOME)).await?;
    Ok(!rows.is_empty())
}
