//! Who does not belong to the cluster.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::{Frame, Outgoing, Sender};

use super::{
    Member, Stranger, TransportCluster, TransportHarness, listening::Listener, publishing::publish,
};
use crate::{Unable, wait::within};

/// More than a loaded machine adds to a time-out.
const MARGIN: Duration = Duration::from_secs(5);
/// Long enough for a frame to arrive that should not.
const QUIET: Duration = Duration::from_millis(300);

/// Members of two clusters see nothing of each other, though they share servers or know addresses.
pub(crate) async fn clusters_are_apart(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let (members, limit) = (cluster.members(), cluster.publish_timeout());
    let stranger = cluster.stranger(Stranger::OtherCluster, limit).await?;
    let mut listeners = Listener::at_all(members).await;
    let mut abroad = Listener::at(&stranger).await;
    for _ in 0..3 {
        // Whether that is an error is the stranger's affair.
        attempt(&*cluster, &stranger, "of another cluster").await;
        publish(&members[0], "of this cluster").await;
        listeners[1].expect("of this cluster").await;
    }
    abroad
        .never("a frame of another cluster", QUIET, |frame| {
            frame.bytes != "of another cluster"
        })
        .await;
    for listener in &mut listeners {
        let foreign = |frame: &Frame| frame.bytes == "of another cluster";
        listener
            .never("a frame of another cluster", QUIET, foreign)
            .await;
    }
    Ok(())
}

/// What somebody with wrong credentials sends never comes as of a member.
pub(crate) async fn a_stranger_is_never_authenticated(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let (members, limit) = (cluster.members(), cluster.publish_timeout());
    let stranger = cluster.stranger(Stranger::WrongSecret, limit).await?;
    let mut listeners = Listener::at_all(members).await;
    for _ in 0..3 {
        attempt(&*cluster, &stranger, "forged").await;
    }
    for listener in &mut listeners {
        let believed =
            |frame: &Frame| frame.bytes == "forged" && frame.sender == Sender::Authenticated;
        listener
            .never("a stranger's frame as Authenticated", QUIET, believed)
            .await;
    }
    publish(&members[0], "genuine").await;
    listeners[1].expect("genuine").await;
    Ok(())
}

/// One attempt of a stranger, however it ends.
async fn attempt(cluster: &dyn TransportCluster, stranger: &Member, text: &'static str) {
    let frame = Outgoing::to_all(Bytes::from_static(text.as_bytes()));
    let limit = cluster.publish_timeout() + MARGIN;
    drop(within("publish", limit, stranger.transport.publish(frame)).await);
}
