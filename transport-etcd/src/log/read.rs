//! Reading on, in one round trip.

use std::time::Instant;

use etcd_client::{Compare, CompareOp, Txn};
use invalidation_core::{Completeness, Error, GapReason, Page, ReadRequest};

use super::{
    Shared,
    answer::{Answer, Known, look, look_since, newest_value},
    cursor::{Mark, Passed, Witness},
    page::{Size, View},
};

const OPERATION: &str = "read";

/// The next page after a cursor.
///
/// All of it is one transaction and so one state of the store, which etcd reads linearizably: where nothing was appended,
/// its conditions say so, and nothing but that is answered.
pub(crate) async fn page(shared: &Shared, request: &ReadRequest<'_>) -> Result<Page, Error> {
    let began = Instant::now();
    let Some(mark) = Mark::from_cursor(request.after) else {
        return expired(shared, request, GapReason::CursorUnreadable, began).await;
    };
    let known = shared
        .known()
        .filter(|known| known.identity == mark.identity && mark.passed == Passed::Whole);
    let mut all = look(&shared.keys);
    all.push(look_since(&shared.keys, mark.witness.place.revision));
    let txn = match known {
        // Where both branches were without a read, etcd would not ask its leader.
        Some(known) => Txn::new()
            .when(nothing_new(shared, &known, &mark))
            .or_else(all),
        None => Txn::new().and_then(all),
    };
    let response = shared
        .txn(OPERATION, shared.settings.read_timeout, txn)
        .await?;
    if known.is_some() && response.succeeded() {
        let cluster = response.header().map(|header| header.cluster_id());
        if cluster != Some(mark.identity.cluster) {
            return expired(shared, request, GapReason::IdentityChanged, began).await;
        }
        return Ok(Page::Entries {
            entries: Vec::new(),
            next: request.after.clone(),
            complete: Completeness::AsOf(request.started),
        });
    }
    let view = view(
        shared,
        OPERATION,
        Answer::of(OPERATION, &shared.keys, &response)?,
    )?;
    let size = Size {
        entries: request.max_entries,
        bytes: request.max_bytes,
    };
    match view.read(&mark, size) {
        Ok(cut) => Ok(Page::Entries {
            entries: cut.entries,
            next: cut.next.to_cursor(),
            complete: if cut.is_complete {
                Completeness::AsOf(request.started)
            } else {
                Completeness::Partial
            },
        }),
        Err(reason) => {
            let head = view.head();
            // The newest append is its own witness, in this view already.
            if head.witness.place == head.at {
                return Ok(gap(request, &head, reason));
            }
            expired(shared, request, reason, began).await
        }
    }
}

/// The mark behind everything.
pub(crate) async fn head(
    shared: &Shared,
    operation: &'static str,
    limit: std::time::Duration,
) -> Result<Mark, Error> {
    let mut all = look(&shared.keys);
    all.push(look_since(&shared.keys, 0));
    let txn = Txn::new().and_then(all);
    let response = shared.txn(operation, limit, txn).await?;
    let answer = Answer::of(operation, &shared.keys, &response)?;
    Ok(view(shared, operation, answer)?.head())
}

/// The head of a view of its own, later than the one that told of the gap: both are of this read.
async fn expired(
    shared: &Shared,
    request: &ReadRequest<'_>,
    reason: GapReason,
    began: Instant,
) -> Result<Page, Error> {
    let left = shared.settings.read_timeout.saturating_sub(began.elapsed());
    let head = head(shared, OPERATION, left).await?;
    Ok(gap(request, &head, reason))
}

fn gap(request: &ReadRequest<'_>, head: &Mark, reason: GapReason) -> Page {
    Page::Expired {
        next: head.to_cursor(),
        as_of: request.started,
        reason,
    }
}

/// That the log is the same, nothing was appended to it, and the ring of the witness is there.
fn nothing_new(shared: &Shared, known: &Known, mark: &Mark) -> Vec<Compare> {
    let (meta, newest) = (shared.keys.meta(), shared.keys.newest());
    let mut compares = vec![
        Compare::mod_revision(meta, CompareOp::Equal, known.meta_revision),
        Compare::create_revision(newest.clone(), CompareOp::Equal, mark.identity.created),
        Compare::mod_revision(newest.clone(), CompareOp::Equal, mark.at.revision),
        Compare::version(newest.clone(), CompareOp::Equal, mark.version),
        Compare::value(newest, CompareOp::Equal, newest_value(mark.at.id)),
    ];
    if mark.witness != Witness::NONE {
        let ring = shared.keys.ring(mark.witness.ring);
        let before = mark.witness.place.revision - 1;
        compares.push(Compare::mod_revision(ring, CompareOp::Greater, before));
    }
    compares
}

fn view(shared: &Shared, operation: &'static str, answer: Answer) -> Result<View, Error> {
    let (known, newest) = answer.known(operation)?;
    shared.learn(known);
    Ok(View {
        identity: known.identity,
        newest: newest.place,
        version: newest.version,
        rings: answer
            .rings
            .into_iter()
            .filter(|(number, _)| *number < known.meta.rings)
            // What is no ring any more counts as deleted: what it held is missed.
            .filter_map(|(number, held)| Some((number, held.value?)))
            .collect(),
    })
}
