//! Calls whose caller goes away.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::poll;
use invalidation_core::{ErrorKind, Outgoing};
use rand::RngExt as _;

use super::{
    TransportHarness,
    listening::{Heard, Listener, show},
    publishing::publish,
};
use crate::{
    Unable, seed,
    wait::{PATIENCE, within},
};

const TIMES: u64 = 30;

/// Polls the call once, or lets it run for a moment, and drops it.
async fn abandon<T>(call: impl Future<Output = T>, n: u64, random: &mut impl rand::Rng) {
    let mut call = pin!(call);
    if n.is_multiple_of(2) {
        let _ = poll!(call.as_mut());
    } else {
        let moment = Duration::from_micros(random.random_range(0..2_000));
        let _ = tokio::time::timeout(moment, call).await;
    }
}

/// A publish that is dropped may send its frame or not, and the transport goes on.
pub(crate) async fn a_dropped_publish_leaves_it_usable(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut random = seed::random(seed);
    // A frame that was cut off may be lost, with a gap.
    let mut listener = Listener::at(to).await.in_spite_of_gaps();
    let publishing = async {
        for n in 0..TIMES {
            let frame = Outgoing::to_all(Bytes::from(format!("abandoned {n}")));
            let frame = if n.is_multiple_of(3) {
                frame.wanting_ack()
            } else {
                frame
            };
            abandon(from.transport.publish(frame), n, &mut random).await;
        }
        publish(from, "after").await;
    };
    // Read all the while, so that no acknowledgement is withheld.
    tokio::join!(publishing, reads_on(&mut listener));
    Ok(())
}

/// A subscribe that is dropped leaves nothing behind, and the next one is live.
pub(crate) async fn a_dropped_subscribe_leaves_it_usable(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut random = seed::random(seed);
    for n in 0..TIMES {
        abandon(to.transport.subscribe(), n, &mut random).await;
    }
    let mut listener = Listener::at(to).await;
    publish(from, "after").await;
    listener.expect("after").await;
    Ok(())
}

/// A probe that is dropped changes nothing.
pub(crate) async fn a_dropped_probe_leaves_it_usable(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut random = seed::random(seed);
    let mut listener = Listener::at(to).await;
    for n in 0..TIMES {
        abandon(from.transport.probe(), n, &mut random).await;
        abandon(to.transport.probe(), n, &mut random).await;
    }
    publish(from, "after").await;
    listener.expect("after").await;
    for member in [from, to] {
        let probing = within(
            "a probe after others were dropped",
            PATIENCE,
            member.transport.probe(),
        );
        if let Err(error) = probing.await {
            panic!("expected a probe to be well after others were dropped: {error}");
        }
    }
    Ok(())
}

/// A close that is dropped half way is finished by the next one: the subscription ends, and nothing works any more.
pub(crate) async fn a_dropped_close_can_be_repeated(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let mut random = seed::random(seed);
    for n in 0..4 {
        let cluster = harness.cluster(2).await?;
        let [from, to] = cluster.members() else {
            panic!("the harness was asked for two nodes")
        };
        let mut listener = Listener::at(to).await;
        publish(from, "before").await;
        listener.expect("before").await;
        abandon(to.transport.close(), n, &mut random).await;
        let closing = within(
            "close after one was dropped",
            PATIENCE,
            to.transport.close(),
        );
        if let Err(error) = closing.await {
            panic!("expected close to succeed after one was dropped, and it failed: {error}");
        }
        let ending = async { while !matches!(listener.hear().await, Heard::End(_)) {} };
        let what = "the subscription ends when a dropped close was repeated";
        within(what, PATIENCE, ending).await;
        let probed = within("a probe after close", PATIENCE, to.transport.probe()).await;
        let kind = probed.err().map(|error| error.kind);
        assert_eq!(
            kind,
            Some(ErrorKind::Closed),
            "expected a probe to fail as Closed after a dropped close was repeated"
        );
    }
    Ok(())
}

/// A frame arrives, past those that were abandoned.
async fn reads_on(listener: &mut Listener) {
    loop {
        let frame = listener
            .next_frame("frame \"after\", past abandoned ones")
            .await;
        if frame.bytes == "after" {
            return;
        }
        assert!(
            frame.bytes.starts_with(b"abandoned"),
            "expected frame \"after\" past abandoned ones, and got frame {}",
            show(&frame.bytes)
        );
    }
}
