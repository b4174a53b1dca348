//! An acknowledgement is the word of the receiving node, never of the transport.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::{Delivery, Outgoing};

use super::{
    TransportHarness,
    listening::Listener,
    publishing::{failures, publish},
};
use crate::{
    Unable,
    wait::{PATIENCE, within},
};

fn wanting(text: &'static str) -> Outgoing {
    Outgoing::to_all(Bytes::from_static(text.as_bytes())).wanting_ack()
}

fn applied_at(delivery: &Delivery) -> usize {
    let applied = |peer: &&invalidation_core::PeerOutcome| matches!(peer.result, Ok(Some(_)));
    delivery.peers.iter().filter(applied).count()
}

/// With `want_ack`, applied is said once the receiving node said it, and not before.
pub(crate) async fn an_acknowledgement_means_applied(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    if !from.transport.capabilities().acknowledges {
        return Err(Unable::because("it does not declare `acknowledges`"));
    }
    let mut listener = Listener::at(to).await;
    let mut publishing = pin!(from.transport.publish(wanting("applied?")));
    let frame = tokio::select! {
        biased;
        published = &mut publishing => panic!(
            "expected publish to wait until the frame was applied, and it gave {published:?} before"
        ),
        frame = listener.expect("applied?") => frame,
    };
    let ack = frame
        .ack
        .expect("a frame that wants to be acknowledged can be");
    let waiting = tokio::time::timeout(Duration::from_millis(100), &mut publishing);
    if let Ok(published) = waiting.await {
        panic!(
            "expected publish to wait until the frame was applied, and it gave {published:?} before"
        );
    }
    ack.applied();
    let delivery = within("publish", PATIENCE, publishing)
        .await
        .expect("publishes");
    assert!(
        applied_at(&delivery) == 1,
        "expected it to be applied at the one peer: {delivery:?}"
    );
    Ok(())
}

/// A sink that is dropped without a word is not applied; where no acknowledgement is declared, none is claimed.
pub(crate) async fn a_dropped_acknowledgement_is_not_applied(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    for _ in 0..3 {
        let publishing = from.transport.publish(wanting("not applied"));
        let dropping = async { drop(listener.expect("not applied").await) };
        let both = async { tokio::join!(publishing, dropping) };
        let (published, ()) = within("publish", PATIENCE, both).await;
        if let Ok(delivery) = published {
            assert!(
                applied_at(&delivery) == 0,
                "expected nobody to have applied a frame whose acknowledgement was dropped: {delivery:?}"
            );
        }
    }
    // And the link is as good as before.
    publish(from, "after").await;
    listener.expect("after").await;
    Ok(())
}

/// A node that never says that it applied a frame delays no other node, and ends as an error or as received.
pub(crate) async fn a_withheld_acknowledgement_delays_no_other(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(3).await?;
    let members = cluster.members();
    if !members[0].transport.capabilities().acknowledges {
        return Err(Unable::because("it does not declare `acknowledges`"));
    }
    let mut listeners = Listener::at_all(members).await;
    let mut held = Vec::new();
    let mut publishing = pin!(members[0].transport.publish(wanting("withheld")));
    let others = async {
        held.push(listeners[1].expect("withheld").await);
        let frame = listeners[2].expect("withheld").await;
        frame.ack.expect("an acknowledgement").applied();
        for n in 0..5 {
            let text = format!("meanwhile {n}");
            let frame = Outgoing::to_all(Bytes::from(text.clone()));
            let mut second = pin!(members[0].transport.publish(frame));
            let mut ended = false;
            loop {
                tokio::select! {
                    biased;
                    _ = listeners[2].expect(&text) => break,
                    _ = &mut second, if !ended => ended = true,
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = others => {}
        published = &mut publishing => panic!(
            "expected the other node to receive while one withholds its acknowledgement, and it had not when \
             publish gave up: {published:?}"
        ),
    }
    let limit = cluster.publish_timeout() + PATIENCE;
    let published = within("publish", limit, publishing).await;
    if let Ok(delivery) = &published {
        assert!(
            applied_at(delivery) < 2,
            "a node that withheld its acknowledgement did not apply: {delivery:?}"
        );
    }
    drop(failures(published));
    drop(held);
    Ok(())
}
