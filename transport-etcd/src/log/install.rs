//! Making the log.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use invalidation_core::{Error, ErrorKind};

use super::{
    Shared,
    answer::{Answer, Known, look, newest_value},
    meta::Meta,
    ring::Ring,
};
use crate::error::error;

const OPERATION: &str = "install";

/// Makes the log, or finds it. Safe in any number of processes at once: the first makes it, in one step.
///
/// Where not all of its keys are there it is made anew, with another epoch, so that every reader is told.
pub(crate) async fn install(shared: &Shared) -> Result<Known, Error> {
    let limit = shared.settings.write_timeout;
    let response = shared
        .txn(OPERATION, limit, Txn::new().and_then(look(&shared.keys)))
        .await?;
    let mut answer = Answer::of(OPERATION, &shared.keys, &response)?;
    // Twice, when somebody else deletes or makes it meanwhile.
    for _ in 0..3 {
        if let Ok((known, _)) = answer.known(OPERATION) {
            return Ok(known);
        }
        let made = shared.txn(OPERATION, limit, make(shared, &answer)).await?;
        let looked = match made.succeeded() {
            true => Txn::new().and_then(look(&shared.keys)),
            false => {
                answer = Answer::of(OPERATION, &shared.keys, &made)?;
                continue;
            }
        };
        let response = shared.txn(OPERATION, limit, looked).await?;
        answer = Answer::of(OPERATION, &shared.keys, &response)?;
    }
    match answer.known(OPERATION) {
        Ok((known, _)) => Ok(known),
        Err(_) => Err(error(
            ErrorKind::Unavailable,
            OPERATION,
            "somebody deletes the log again and again: find out who writes to its keys",
        )),
    }
}

/// All keys of an empty log, if what is there is still as it was seen.
fn make(shared: &Shared, seen: &Answer) -> Txn {
    let keys = &shared.keys;
    let settings = &shared.settings;
    // Who had the log that is gone finds its epoch among the past ones, and tells nobody once more.
    let before = shared.known().map(|known| known.identity.epoch);
    let meta = match seen.meta {
        Some(old) => old.value.renewed(before),
        None => {
            let mut meta = Meta::random(settings.rings, settings.capacity);
            meta.remember(before);
            meta
        }
    };
    let id = rand::random();
    let mut operations = vec![
        TxnOp::put(keys.meta(), meta.to_bytes(), None),
        TxnOp::put(keys.newest(), newest_value(id), None),
    ];
    let rings = (0..meta.rings).map(|ring| TxnOp::put(keys.ring(ring), Ring::fresh(id), None));
    operations.extend(rings);
    let meta_revision = seen.meta.map_or(0, |meta| meta.revision);
    let created = seen.newest.map_or(0, |newest| newest.created);
    Txn::new()
        .when([
            Compare::mod_revision(keys.meta(), CompareOp::Equal, meta_revision),
            Compare::create_revision(keys.newest(), CompareOp::Equal, created),
        ])
        .and_then(operations)
        .or_else(look(keys))
}
