//! Publishing as a case does: while nothing fails, and when something does.

use std::sync::Arc;

use bytes::Bytes;
use invalidation_core::{Delivery, Error, Outgoing};

use super::{Member, listening::show};
use crate::wait::{PATIENCE, within};

/// Publishes to all, while nothing fails; panics when that is not said to have reached every peer.
pub(super) async fn publish(member: &Member, bytes: impl AsRef<[u8]>) -> Delivery {
    publish_frame(
        member,
        Outgoing::to_all(Bytes::copy_from_slice(bytes.as_ref())),
    )
    .await
}

/// Publishes, while nothing fails; panics when that is not said to have reached every peer.
pub(super) async fn publish_frame(member: &Member, frame: Outgoing) -> Delivery {
    let shown = show(&frame.bytes);
    let publishing = within("publish", PATIENCE, member.transport.publish(frame));
    let delivery = match publishing.await {
        Ok(delivery) => delivery,
        Err(error) => panic!(
            "expected node {} to publish frame {shown} while nothing fails: {error}",
            member.id
        ),
    };
    for outcome in &delivery.peers {
        if let Err(error) = &outcome.result {
            panic!(
                "expected frame {shown} of node {} to reach {} while nothing fails: {error}",
                member.id, outcome.peer
            );
        }
    }
    delivery
}

/// What failed in one attempt to publish: the call itself, or the way to any peer. Empty when nothing did.
pub(super) async fn failures_of(member: &Member, bytes: impl AsRef<[u8]>) -> Vec<Arc<Error>> {
    let frame = Outgoing::to_all(Bytes::copy_from_slice(bytes.as_ref()));
    failures(member.transport.publish(frame).await)
}

/// What failed: the call itself, or the way to any peer. Empty when nothing did.
pub(super) fn failures(published: Result<Delivery, Error>) -> Vec<Arc<Error>> {
    match published {
        Err(error) => vec![Arc::new(error)],
        Ok(delivery) => delivery
            .peers
            .into_iter()
            .filter_map(|outcome| outcome.result.err())
            .collect(),
    }
}
