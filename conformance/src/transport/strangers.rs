//! Who does not belong to the cluster.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::{Error, ErrorKind, Frame, Outgoing, Sender};

use super::{
    Member, Stranger, TransportCluster, TransportHarness,
    listening::Listener,
    publishing::{failures_of, publish},
};
use crate::{Unable, wait::within};

/// More than a loaded machine adds to "at once".
const MARGIN: Duration = Duration::from_secs(5);
/// Long enough for a frame to arrive that should not.
const QUIET: Duration = Duration::from_millis(300);

/// Members of two clusters see nothing of each other, though they share servers or know addresses.
pub(crate) async fn clusters_are_apart(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let members = cluster.members();
    let stranger = cluster.stranger(Stranger::OtherCluster).await?;
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
    let members = cluster.members();
    let stranger = cluster.stranger(Stranger::WrongSecret).await?;
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

/// Wrong credentials are `Denied`, at once.
pub(crate) async fn wrong_credentials_are_denied(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    is_refused(harness, Stranger::WrongSecret, &[ErrorKind::Denied]).await
}

/// An address where nobody listens is `Unavailable`, at once.
pub(crate) async fn a_wrong_host_is_unavailable(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    is_refused(harness, Stranger::WrongHost, &[ErrorKind::Unavailable]).await
}

/// TLS that does not fit is an error that retrying does not hide, at once.
pub(crate) async fn wrong_tls_is_refused(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let kinds = [
        ErrorKind::Denied,
        ErrorKind::Unavailable,
        ErrorKind::Invalid,
    ];
    is_refused(harness, Stranger::WrongTls, &kinds).await
}

async fn is_refused(
    harness: Arc<dyn TransportHarness>,
    stranger: Stranger,
    kinds: &[ErrorKind],
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let _listeners = Listener::at_all(cluster.members()).await;
    let limit = cluster.publish_timeout() + MARGIN;
    let member = cluster.stranger(stranger).await?;
    let check = |operation: &str, error: &Error| {
        assert!(
            kinds.contains(&error.kind),
            "expected {operation} of {stranger:?} to fail as one of {kinds:?}, and it failed as {:?}: {error}",
            error.kind
        );
    };
    match within("probe", limit, member.transport.probe()).await {
        Ok(()) => panic!("expected a probe of {stranger:?} to fail, and it was well"),
        Err(error) => check("a probe", &error),
    }
    // A transport that only listens here has nobody to be refused by.
    if let Err(error) = within("subscribe", limit, member.transport.subscribe()).await {
        check("subscribe", &error);
    }
    // Twice: also what is answered from memory says why.
    for _ in 0..2 {
        let failures = within("publish", limit, failures_of(&member, "x")).await;
        assert!(
            !failures.is_empty(),
            "expected publish of {stranger:?} to fail, and it succeeded"
        );
        for error in failures {
            check("publish", &error);
        }
    }
    Ok(())
}

/// One attempt of a stranger, however it ends.
async fn attempt(cluster: &dyn TransportCluster, stranger: &Member, text: &'static str) {
    let frame = Outgoing::to_all(Bytes::from_static(text.as_bytes()));
    let limit = cluster.publish_timeout() + MARGIN;
    drop(within("publish", limit, stranger.transport.publish(frame)).await);
}
