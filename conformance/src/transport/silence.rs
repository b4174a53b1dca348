//! Links that stay, and say nothing.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::Outgoing;
use tokio::time::Instant;

use super::{
    TransportHarness,
    breaking::mend,
    listening::Listener,
    publishing::{failures, failures_of, publish},
    traffic::{Follower, Publisher},
};
use crate::{Disruption, Unable, wait::within};

/// More than a loaded machine adds to a time-out.
const MARGIN: Duration = Duration::from_secs(3);
/// How long a silence goes on after it was noticed.
const GOES_ON: Duration = Duration::from_millis(300);

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

/// Each frame that was sent into the silence, or before it, arrives late or is covered by a gap or an end that is told
/// after it was sent: one late frame says nothing of the others.
async fn falls_silent(
    harness: Arc<dyn TransportHarness>,
    [breaks, mends]: [Disruption; 2],
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let follower = Follower::start(to.clone());
    let since = follower.subscribed().await;
    let publisher = Publisher::start(from.clone());
    follower.hears_something().await;
    cluster.disrupt(1, breaks).await?;
    let declared = to.transport.capabilities().notices_loss_within;
    let began = Instant::now();
    let noticing = async {
        tokio::select! {
            () = publisher.told_of_a_failure(began) => {}
            () = follower.told_of_a_loss(began) => {}
        }
    };
    if tokio::time::timeout(declared + MARGIN, noticing)
        .await
        .is_err()
    {
        panic!(
            "expected a link that fell silent ({breaks:?}) to be noticed within {declared:?}, and after {:?} neither \
             who publishes nor who listens had been told",
            began.elapsed()
        );
    }
    // More goes into the silence, where one sends on.
    tokio::time::sleep(GOES_ON).await;
    mend(&*cluster, 1, mends).await;
    follower.hears_something().await;
    let sent = publisher.stop(since).await;
    follower.heard_all(&sent).await;
    Ok(())
}

/// What publishing said to be sent arrives, or a gap or an end is told, though the publisher's own link fell silent, and was
/// then lost with all that was on it. No subscriber sees anything of that.
pub(crate) async fn a_publishers_silent_link_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let follower = Follower::start(to.clone());
    let since = follower.subscribed().await;
    let publisher = Publisher::start(from.clone());
    follower.hears_something().await;
    cluster.disrupt(0, Disruption::BlackHole).await?;
    // Another one, since the first may still wait for what it sent before.
    let began = Instant::now();
    let into_silence = Publisher::start_with(from.clone(), "frame into silence");
    let limit = cluster.publish_timeout() + MARGIN;
    let ending = into_silence.ended_one_of(began);
    within("publish into silence", limit, ending).await;
    // More goes into the silence, where one waits for nothing.
    tokio::time::sleep(GOES_ON).await;
    // Where the harness cannot, the silence ends and all comes that was said to be sent.
    let _lost = cluster.disrupt(0, Disruption::Cut).await;
    mend(&*cluster, 0, Disruption::Heal).await;
    follower.hears_something().await;
    let mut sent = publisher.stop(since).await;
    sent.extend(into_silence.stop(since).await);
    follower.heard_all(&sent).await;
    Ok(())
}

/// Over a link that is silent every call ends in time: a probe with an error, and a publish, a subscribe and a close
/// however they end. What a publish that succeeded is worth is
/// [another case's](a_publishers_silent_link_loses_nothing_silently).
pub(crate) async fn a_silent_link_holds_no_call(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [member, other] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(other).await;
    publish(member, "before").await;
    listener.expect("before").await;
    cluster.disrupt(0, Disruption::BlackHole).await?;
    let limit = cluster.publish_timeout() + MARGIN;
    let probed = within("probe into silence", limit, member.transport.probe()).await;
    assert!(
        probed.is_err(),
        "expected a probe to fail while the link is silent, and it was well"
    );
    drop(
        within(
            "publish into silence",
            limit,
            failures_of(member, "into silence"),
        )
        .await,
    );
    drop(
        within(
            "subscribe into silence",
            limit,
            member.transport.subscribe(),
        )
        .await,
    );
    drop(within("close into silence", limit, member.transport.close()).await);
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
        // Who is not reached may be told of as a gap.
        let listeners = Listener::at_all(members).await.into_iter();
        let mut listeners: Vec<_> = listeners.map(Listener::in_spite_of_gaps).collect();
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
            let mut ended = false;
            for (at, listener) in listeners.iter_mut().enumerate().skip(1) {
                if at == silent {
                    continue;
                }
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
