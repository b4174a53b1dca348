//! What breaks under load: each frame is delivered, or the subscriber is told that it may have missed some.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::time::Instant;

use super::{
    TransportCluster, TransportHarness,
    breaking::mend,
    traffic::{Follower, Publisher},
};
use crate::{
    Disruption, Unable, seed,
    wait::{PATIENCE, within},
};

/// How long frames are on their way when the link on which they are is cut.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// While links are cut and heal, each frame that was sent arrives, or a gap or an end is told.
pub(crate) async fn a_cut_link_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    breaks_under_load(harness, seed, [Disruption::Cut, Disruption::Heal]).await
}

/// What publishing said to be sent arrives, or a gap or an end is told, though the publisher's own link is cut: with it is
/// lost what waits to be written, and what is under way on a slow one. No subscriber sees anything of that.
pub(crate) async fn a_publishers_cut_link_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let mut random = seed::random(seed);
    let follower = Follower::start(cluster.members()[1].clone());
    let since = follower.subscribed().await;
    let publisher = Publisher::start(cluster.members()[0].clone());
    for round in 0..3 {
        follower.hears_something().await;
        // Where the harness cannot, there is still what waits to be written.
        let _slower = cluster.disrupt(0, Disruption::Delay(UNDER_WAY)).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        // One that waits for no answer was said to be sent just now.
        let ending = publisher.ended_one_of(Instant::now());
        within("publish", cluster.publish_timeout() + PATIENCE, ending).await;
        once_more(&*cluster, 0, Disruption::Cut, round).await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        mend(&*cluster, 0, Disruption::Heal).await;
    }
    follower.hears_something().await;
    let sent = publisher.stop(since).await;
    follower.heard_all(&sent).await;
    Ok(())
}

/// While the server ends in an orderly way and is started again, each frame that was sent arrives, or a gap or an end is
/// told: who says goodbye has lost as much.
pub(crate) async fn a_stopped_server_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    breaks_under_load(harness, seed, [Disruption::Stop, Disruption::Restart]).await
}

/// While the server is killed and started again, each frame that was sent arrives, or a gap or an end is told.
pub(crate) async fn a_restarted_server_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    breaks_under_load(harness, seed, [Disruption::Kill, Disruption::Restart]).await
}

/// A node that is killed and started again receives each frame published after it subscribed, or is told of a gap.
pub(crate) async fn a_restarted_node_loses_nothing_silently(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let mut cluster = harness.cluster(2).await?;
    let first = cluster
        .give_away()
        .ok_or_else(|| Unable::because("the harness does not give its nodes away"))?;
    let publisher = Publisher::start(cluster.members()[0].clone());
    let follower = Follower::start(first.clone());
    follower.hears_something().await;
    drop(follower);
    drop(first);
    let mut random = seed::random(seed);
    tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
    let again = cluster.rejoin().await?;
    let follower = Follower::start(again);
    let since = follower.subscribed().await;
    follower.hears_something().await;
    let sent = publisher.stop(since).await;
    follower.heard_all(&sent).await;
    Ok(())
}

async fn breaks_under_load(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
    [breaks, mends]: [Disruption; 2],
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let mut random = seed::random(seed);
    let follower = Follower::start(cluster.members()[1].clone());
    let since = follower.subscribed().await;
    let publisher = Publisher::start(cluster.members()[0].clone());
    for round in 0..3 {
        follower.hears_something().await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        once_more(&*cluster, 1, breaks, round).await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        mend(&*cluster, 1, mends).await;
    }
    follower.hears_something().await;
    let sent = publisher.stop(since).await;
    follower.heard_all(&sent).await;
    Ok(())
}

/// Breaks something in each round: in the first the harness may be unable to, and not later.
async fn once_more(
    cluster: &dyn TransportCluster,
    of: usize,
    breaks: Disruption,
    round: usize,
) -> Result<(), Unable> {
    match cluster.disrupt(of, breaks).await {
        Err(unable) if round > 0 => {
            panic!("expected {breaks:?} once more, and the harness cannot: {unable}")
        }
        broken => broken,
    }
}
