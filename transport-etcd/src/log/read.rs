//! Reading on, in one round trip.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use invalidation_core::{Completeness, Error, GapReason, Page, ReadRequest};

use super::{
    Shared,
    answer::{Answer, Known, look, look_since, newest_value},
    bounded,
    cursor::{Mark, Passed, Witness},
    install,
    keys::Keys,
    page::{Cut, Size, View},
    renew::renew,
};

const OPERATION: &str = "read";

/// The next page after a cursor.
///
/// All of it is one transaction and so one state of the store, which etcd reads linearizably: where nothing was appended,
/// its conditions say so, and nothing but that is answered.
pub(crate) async fn page(shared: &Shared, request: &ReadRequest<'_>) -> Result<Page, Error> {
    let began = Instant::now();
    let left = || shared.settings.read_timeout.saturating_sub(began.elapsed());
    let Some(mark) = Mark::from_cursor(request.after) else {
        return expired(shared, request, GapReason::CursorUnreadable, left()).await;
    };
    let unread = shared.unread.before();
    let known = shared.known().filter(|known| {
        known.identity == mark.identity && mark.passed == Passed::Whole && unread.appends.is_empty()
    });
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
            return expired(shared, request, GapReason::IdentityChanged, left()).await;
        }
        return Ok(Page::Entries {
            entries: Vec::new(),
            next: request.after.clone(),
            complete: Completeness::AsOf(request.started),
        });
    }
    let answer = Answer::of(OPERATION, &shared.keys, &response)?;
    if answer.is_gone() && shared.is_installed.load(Ordering::Acquire) {
        // Nobody else would make it anew (`P20`).
        let made = bounded(OPERATION, left(), install::install(shared)).await?;
        shared.learn(made);
        return expired(shared, request, GapReason::IdentityChanged, left()).await;
    }
    let view = view(shared, OPERATION, answer)?;
    let size = Size {
        entries: request.max_entries,
        bytes: request.max_bytes,
    };
    let found = view.read(&mark, size);
    let reason = found.as_ref().err().copied();
    let all = match view.may_have_lost(&mark, reason, &unread.appends) {
        true => Some(look_at_all(shared, OPERATION, left()).await?),
        false => None,
    };
    let lost = all.filter(|all| all.has_lost(&mark, reason, &unread.appends));
    let page = match (found, lost) {
        (Ok(cut), None) => {
            shared.unread.passed(&unread, &cut.next);
            return Ok(entries(request, cut));
        }
        (found, Some(all)) => {
            let reason = found.err().unwrap_or(GapReason::WitnessLost);
            let known = unread.appends.iter().map(|append| append.identity.epoch);
            let known = known.chain([mark.identity.epoch]);
            let renewed = renew(shared, OPERATION, left(), &all.known, known).await?;
            gap(request, &renewed.unwrap_or(all).head(), reason)
        }
        (Err(reason), None) => {
            let head = view.head();
            // The newest append is its own witness, in this view already.
            if head.witness.place == head.at {
                gap(request, &head, reason)
            } else {
                let all = look_at_all(shared, OPERATION, left()).await?;
                gap(request, &all.head(), reason)
            }
        }
    };
    shared.unread.flushed(&unread);
    Ok(page)
}

/// The mark behind everything.
pub(crate) async fn head(
    shared: &Shared,
    operation: &'static str,
    limit: Duration,
) -> Result<Mark, Error> {
    let view = look_at_all(shared, operation, limit).await?;
    Ok(view.head())
}

/// All of the log.
async fn look_at_all(
    shared: &Shared,
    operation: &'static str,
    limit: Duration,
) -> Result<View, Error> {
    let txn = Txn::new().and_then(everything(&shared.keys));
    let response = shared.txn(operation, limit, txn).await?;
    let answer = Answer::of(operation, &shared.keys, &response)?;
    view(shared, operation, answer)
}

/// The head of a view of its own, later than the one that told of the gap: both are of this read.
async fn expired(
    shared: &Shared,
    request: &ReadRequest<'_>,
    reason: GapReason,
    limit: Duration,
) -> Result<Page, Error> {
    let head = head(shared, OPERATION, limit).await?;
    Ok(gap(request, &head, reason))
}

fn gap(request: &ReadRequest<'_>, head: &Mark, reason: GapReason) -> Page {
    Page::Expired {
        next: head.to_cursor(),
        as_of: request.started,
        reason,
    }
}

fn entries(request: &ReadRequest<'_>, cut: Cut) -> Page {
    Page::Entries {
        entries: cut.entries,
        next: cut.next.to_cursor(),
        complete: match cut.is_complete {
            true => Completeness::AsOf(request.started),
            false => Completeness::Partial,
        },
    }
}

/// Asks for all rings, and for what tells which log it is.
pub(crate) fn everything(keys: &Keys) -> Vec<TxnOp> {
    let mut all = look(keys);
    all.push(look_since(keys, 0));
    all
}

/// That the log is the same, nothing was appended to it, and the ring of the witness is there.
fn nothing_new(shared: &Shared, known: &Known, mark: &Mark) -> Vec<Compare> {
    let (meta, newest) = (shared.keys.meta(), shared.keys.newest());
    let mut compares = vec![
        Compare::mod_revision(meta.clone(), CompareOp::Equal, known.meta_revision),
        // After a restore the same revision may have brought another one.
        Compare::value(meta, CompareOp::Equal, known.meta.to_bytes()),
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

pub(crate) fn view(
    shared: &Shared,
    operation: &'static str,
    answer: Answer,
) -> Result<View, Error> {
    let (known, newest) = answer.known(operation)?;
    shared.learn(known);
    Ok(View {
        known,
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
