//! Links that stay, and say nothing.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::Outgoing;
use tokio::time::Instant;

use super::{
    TransportHarness,
    listening::{Heard, Listener, show},
    publishing::{failures, failures_of, publish},
};
use crate::{
    Disruption, Unable,
    wait::{PATIENCE, within},
};

/// More than a loaded machine adds to a time-out.
const MARGIN: Duration = Duration::from_secs(3);

/// A link that swallows everything is noticed in the declared time, by who publishes or by who listens, and who listens
/// is told in the end.
pub(crate) async fn a_black_hole_is_noticed(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    falls_silent(harness, [Disruption::BlackHole, Disruption::Heal]).await
}

/// So is a server that is paused.
pub(crate) async fn a_paused_server_is_noticed(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    falls_silent(harness, [Disruption::Pause, Disruption::Resume]).await
}

async fn falls_silent(
    harness: Arc<dyn TransportHarness>,
    [breaks, mends]: [Disruption; 2],
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    publish(from, "before").await;
    listener.expect("before").await;
    cluster.disrupt(1, breaks).await?;
    let declared = to.transport.capabilities().notices_loss_within;
    let limit = declared + MARGIN;
    let began = Instant::now();
    let mut told_listener = false;
    let noticing = async {
        let publishing = async {
            while failures_of(from, "into silence").await.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let listening = async {
            match listener.hear().await {
                Heard::Gap(_) | Heard::End(_) => {}
                Heard::Frame(frame) => panic!(
                    "expected nothing to come through after {breaks:?}, and got frame {}",
                    show(&frame.bytes)
                ),
            }
        };
        tokio::select! {
            () = publishing => {}
            () = listening => told_listener = true,
        }
    };
    if tokio::time::timeout(limit, noticing).await.is_err() {
        panic!(
            "expected a link that fell silent ({breaks:?}) to be noticed within {declared:?}, and after {:?} neither \
             who publishes nor who listens had been told",
            began.elapsed()
        );
    }
    cluster.disrupt(1, mends).await?;
    if !told_listener {
        within(
            "who listens is told of what was lost in the silence, by a gap, an end or the late frame",
            PATIENCE,
            listener.hear(),
        )
        .await;
    }
    Ok(())
}

/// A peer that is not reached delays no other, wherever it stands in the list.
pub(crate) async fn an_unreachable_peer_delays_no_other(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    for silent in 1..4 {
        let cluster = harness.cluster(4).await?;
        let members = cluster.members();
        let mut listeners = Listener::at_all(members).await;
        cluster.disrupt(silent, Disruption::BlackHole).await?;
        let frame = |text: &'static str| Outgoing::to_all(Bytes::from_static(text.as_bytes()));
        let mut first = pin!(members[0].transport.publish(frame("first")));
        let others = async {
            for (at, listener) in listeners.iter_mut().enumerate().skip(1) {
                if at != silent {
                    listener.expect("first").await;
                }
            }
            let mut second = pin!(members[0].transport.publish(frame("second")));
            for (at, listener) in listeners.iter_mut().enumerate().skip(1) {
                if at == silent {
                    continue;
                }
                let mut ended = false;
                loop {
                    tokio::select! {
                        biased;
                        _ = listener.expect("second") => break,
                        _ = &mut second, if !ended => ended = true,
                    }
                }
            }
        };
        let mut given_up = None;
        let mut others = pin!(others);
        tokio::select! {
            biased;
            () = &mut others => {}
            published = &mut first => given_up = Some(failures(published)),
        }
        if let Some(failures) = given_up {
            // One that waits for nobody is done at once; one that waited for the silent peer has a failure to tell.
            assert!(
                failures.is_empty(),
                "expected nodes to receive while node {silent} is not reached, and they had not when publish gave up: \
                 {failures:?}"
            );
            others.await;
        }
    }
    Ok(())
}
