//! The end of a transport that is closed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use invalidation_core::{Error, ErrorKind, Outgoing};
use rand::RngExt as _;

use super::{
    Member, TransportHarness,
    listening::{Heard, Listener},
    publishing::{failures, publish},
};
use crate::{
    Unable, seed,
    wait::{PATIENCE, eventually, within},
};

/// Closes; panics when that fails or takes long.
async fn close(member: &Member) {
    if let Err(error) = within(
        "close, whatever is in flight",
        PATIENCE,
        member.transport.close(),
    )
    .await
    {
        panic!("expected close to succeed, and it failed: {error}");
    }
}

/// Closing once more, or several times at once, is well.
pub(crate) async fn close_is_idempotent(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [used, unused] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let _listeners = Listener::at_all(cluster.members()).await;
    publish(used, "x").await;
    join_all((0..3).map(|_| close(used))).await;
    close(used).await;
    close(unused).await;
    close(unused).await;
    Ok(())
}

/// A subscription ends when its transport is closed, also while it is waited for.
pub(crate) async fn close_ends_subscriptions(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    publish(from, "before").await;
    listener.expect("before").await;
    let ending =
        tokio::spawn(async move { while !matches!(listener.hear().await, Heard::End(_)) {} });
    tokio::time::sleep(Duration::from_millis(20)).await;
    close(to).await;
    within(
        "the subscription of a closed transport ends",
        PATIENCE,
        ending,
    )
    .await
    .expect("reads");
    Ok(())
}

/// After close, each method but `close` fails as `Closed`.
pub(crate) async fn after_close_all_is_closed(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let member = &cluster.members()[0];
    drop(Listener::at(member).await);
    close(member).await;
    let frame = Outgoing::to_all(Bytes::from_static(b"x"));
    let published = within("publish", PATIENCE, member.transport.publish(frame)).await;
    is_closed("publish", published.err());
    let subscribed = within("subscribe", PATIENCE, member.transport.subscribe()).await;
    is_closed("subscribe", subscribed.err());
    let probed = within("probe", PATIENCE, member.transport.probe()).await;
    is_closed("probe", probed.err());
    Ok(())
}

fn is_closed(operation: &str, error: Option<Error>) {
    match error {
        None => panic!("expected {operation} to fail as Closed after close, and it succeeded"),
        Some(error) => assert_eq!(
            error.kind,
            ErrorKind::Closed,
            "expected {operation} to fail as Closed after close: {error}"
        ),
    }
}

/// Publishes that meet a close end, and so does the close.
pub(crate) async fn close_meets_publish(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let mut random = seed::random(seed);
    for round in 0..5 {
        let cluster = harness.cluster(2).await?;
        let members = cluster.members();
        let mut listeners = Listener::at_all(members).await;
        let wants_ack = members[0].transport.capabilities().acknowledges;
        let publishing = join_all((0..20).map(|n| {
            let frame = Outgoing::to_all(Bytes::from(format!("{n}")));
            let frame = if wants_ack && round == 0 && n == 0 {
                // Never answered: the listener holds it.
                frame.wanting_ack()
            } else {
                frame
            };
            members[0].transport.publish(frame)
        }));
        let pause = Duration::from_micros(random.random_range(0..2_000));
        let closing = async {
            let held = listeners[1].next_frame("the first frame").await;
            tokio::time::sleep(pause).await;
            close(&members[0]).await;
            held
        };
        let limit = cluster.publish_timeout() + PATIENCE;
        let both = async { tokio::join!(publishing, closing) };
        let (published, _held) = within("publishes that meet a close end", limit, both).await;
        for error in published.into_iter().flat_map(failures) {
            assert!(
                matches!(
                    error.kind,
                    ErrorKind::Closed | ErrorKind::TimedOut | ErrorKind::Unavailable
                ),
                "expected a publish that met a close to end as Closed, TimedOut or Unavailable: {error}"
            );
        }
    }
    Ok(())
}

/// A subscribe that meets a close is refused, or its subscription ends: none goes on for ever.
pub(crate) async fn close_meets_subscribe(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let mut random = seed::random(seed);
    let cluster = harness.cluster(8).await?;
    for member in cluster.members() {
        let subscribing = tokio::spawn({
            let member = member.clone();
            async move {
                match member.transport.subscribe().await {
                    Ok(subscription) => {
                        let mut listener = Listener::on(&member, subscription);
                        while !matches!(listener.hear().await, Heard::End(_)) {}
                        None
                    }
                    Err(error) => Some(error),
                }
            }
        });
        // From before it has begun to after it has ended: a timer alone is too coarse for that.
        for _ in 0..random.random_range(0..30) {
            tokio::task::yield_now().await;
        }
        if random.random() {
            tokio::time::sleep(Duration::from_micros(random.random_range(0..3_000))).await;
        }
        close(member).await;
        let ended = within(
            "a subscription that met a close ends",
            PATIENCE,
            subscribing,
        );
        if let Some(error) = ended.await.expect("reads") {
            is_closed("subscribe", Some(error));
        }
    }
    Ok(())
}

/// A closed transport has no connection any more.
pub(crate) async fn close_ends_connections(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let mut listeners = Listener::at_all(cluster.members()).await;
    publish(&cluster.members()[0], "x").await;
    listeners[1].expect("x").await;
    let before = cluster.connections(0).await?;
    assert!(
        before > 0,
        "the harness counts no connection of a node that works"
    );
    close(&cluster.members()[0]).await;
    eventually!(
        "a closed transport has no connection any more",
        (cluster.connections(0).await == Ok(0)).then_some(())
    );
    Ok(())
}
