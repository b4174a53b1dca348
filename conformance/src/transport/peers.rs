//! What is said of each peer, and frames for one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use invalidation_core::{Destination, ErrorKind, Outgoing, TransportCapabilities};

use super::{
    TransportHarness,
    listening::Listener,
    publishing::{publish, publish_frame},
};
use crate::{
    Unable,
    wait::{PATIENCE, within},
};

/// The outcomes name each peer once, by its node where that is known, and nobody else.
pub(crate) async fn delivery_names_each_peer(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(4).await?;
    let members = cluster.members();
    let _listeners = Listener::at_all(members).await;
    let delivery = publish(&members[0], "who has it?").await;
    if delivery.peers.is_empty() {
        return Err(Unable::because(
            "a broker takes frames for everybody, and says nothing of each peer",
        ));
    }
    let expected: BTreeMap<_, _> = members[1..]
        .iter()
        .enumerate()
        .map(|(at, member)| (member.id.to_string(), at + 1))
        .collect();
    let mut peers = BTreeSet::new();
    let mut missing = expected.clone();
    for outcome in &delivery.peers {
        assert!(
            peers.insert(outcome.peer.clone()),
            "expected one outcome for each peer, and got two for {}",
            outcome.peer
        );
        if let Some(node) = outcome.node {
            let node = node.to_string();
            assert!(
                expected.contains_key(&node),
                "expected outcomes of the {} other nodes, and got one of node {node}",
                expected.len()
            );
            missing.remove(&node);
        }
    }
    assert!(
        delivery.peers.len() == expected.len(),
        "expected {} outcomes, one for each other node, and got {:?}",
        expected.len(),
        delivery.peers
    );
    let nameless = delivery.peers.iter().filter(|peer| peer.node.is_none());
    assert!(
        missing.len() <= nameless.count(),
        "no outcome for the nodes {missing:?}"
    );
    Ok(())
}

/// A peer that was closed is never said to have received a frame.
pub(crate) async fn a_closed_peer_received_nothing(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    // Kept, so that only the close ends it.
    let mut listener = Listener::at(to).await;
    let delivery = publish(from, "while it is open").await;
    listener.expect("while it is open").await;
    if delivery.peers.is_empty() {
        return Err(Unable::because(
            "a broker takes frames for everybody, and says nothing of each peer",
        ));
    }
    within("close", PATIENCE, to.transport.close())
        .await
        .expect("closes");
    for n in 0..3 {
        let frame = Outgoing::to_all(Bytes::from(format!("after it closed {n}")));
        let publishing = within("publish", PATIENCE, from.transport.publish(frame));
        let Ok(delivery) = publishing.await else {
            continue;
        };
        let received = delivery.peers.iter().find(|peer| peer.result.is_ok());
        assert!(
            received.is_none(),
            "expected nobody to have received a frame after the only peer closed, and got {received:?}"
        );
    }
    Ok(())
}

/// A frame for one node reaches it: alone where `unicast` is declared, and else at least it, or it is
/// `Unsupported`.
pub(crate) async fn a_frame_for_one_node_goes_as_declared(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(3).await?;
    let members = cluster.members();
    let mut listeners = Listener::at_all(members).await;
    let mut frame = Outgoing::to_all(Bytes::from_static(b"for node 2 alone"));
    frame.to = Destination::Node(members[2].id);
    if !members[0].transport.capabilities().unicast {
        let publishing = within("publish", PATIENCE, members[0].transport.publish(frame));
        match publishing.await {
            Ok(_) => {
                listeners[2].expect("for node 2 alone").await;
            }
            Err(error) => assert_eq!(
                error.kind,
                ErrorKind::Unsupported,
                "without unicast, a frame for one node is delivered or Unsupported: {error}"
            ),
        }
        return Ok(());
    }
    publish_frame(&members[0], frame).await;
    listeners[2].expect("for node 2 alone").await;
    publish(&members[0], "for all").await;
    listeners[2].expect("for all").await;
    listeners[1].expect("for all").await;
    let period = Duration::from_millis(100);
    listeners[1]
        .never("the frame for another node", period, |frame| {
            frame.bytes != "for all"
        })
        .await;
    Ok(())
}

/// What a transport claims stays as it is, whatever happens to it, and is the same at each node.
pub(crate) async fn capabilities_do_not_change(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [one, other] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let claims = one.transport.capabilities();
    assert!(!claims.name.is_empty(), "a transport has a name");
    assert!(claims.max_frame > 0, "no frame fits a max_frame of 0 bytes");
    let stay = |when: &str, now: TransportCapabilities| {
        assert!(
            claims == now,
            "expected the claims {claims:?} {when}, and got {now:?}"
        );
    };
    stay("at each node", other.transport.capabilities());
    let listeners = Listener::at_all(cluster.members()).await;
    stay("once it is subscribed", one.transport.capabilities());
    drop(listeners);
    one.transport.close().await.expect("closes");
    stay("after it was closed", one.transport.capabilities());
    Ok(())
}
