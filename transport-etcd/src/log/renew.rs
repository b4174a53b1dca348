//! Another epoch for a log of which something was lost, so that every reader is told.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use invalidation_core::{Error, ErrorKind};

use super::{
    Shared,
    answer::{Answer, Known},
    meta::Epoch,
    page::View,
    read::{everything, view},
};
use crate::error::error;

/// Gives the log another epoch, unless somebody else has meanwhile: as many as find the same loss settle on one. Answers all
/// of the log, as it is then; `None` where this user may not write it, or the store is full.
///
/// `others` are epochs that the caller has, which the log may not know any more. Who has one of them finds it among the past
/// ones then, and tells nobody again.
pub(crate) async fn renew(
    shared: &Shared,
    operation: &'static str,
    limit: Duration,
    known: &Known,
    others: impl IntoIterator<Item = Epoch>,
) -> Result<Option<View>, Error> {
    let keys = &shared.keys;
    let meta = known.meta.renewed(others);
    let mut operations = vec![TxnOp::put(keys.meta(), meta.to_bytes(), None)];
    operations.extend(everything(keys));
    let txn = Txn::new()
        .when([
            Compare::mod_revision(keys.meta(), CompareOp::Equal, known.meta_revision),
            Compare::create_revision(keys.newest(), CompareOp::Equal, known.identity.created),
        ])
        .and_then(operations)
        .or_else(everything(keys));
    let response = match shared.txn(operation, limit, txn).await {
        Ok(response) => response,
        Err(e) if matches!(e.kind, ErrorKind::Denied | ErrorKind::ReadOnly) => {
            tracing::warn!(
                error = %e,
                "the invalidation log lost entries that were acknowledged, as in a restore, and the other nodes cannot be \
                 told: restart those that ran before it"
            );
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let view = view(shared, operation, Answer::of(operation, keys, &response)?)?;
    if !view.known.meta.follows(known.meta.epoch) {
        return Err(error(
            ErrorKind::Unavailable,
            operation,
            "the log lost entries, and became another one again before that could be told: read once more",
        ));
    }
    if response.succeeded() {
        tracing::warn!(
            "the invalidation log lost entries that were acknowledged, as in a restore: every node is told to flush"
        );
    }
    Ok(Some(view))
}
