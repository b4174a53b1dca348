//! Frames reach every peer, and the outcomes tell the truth.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use invalidation_core::{
    CacheInvalidationTransport, Destination, ErrorKind, GapReason, Outgoing, Sender,
};
use support::{TestNode, builder, eventually, next, next_frame, next_gap, next_text, within};
use tokio::net::TcpListener;

/// A frame reaches each peer, whole, as of an authenticated sender, and the delivery names who has it.
#[tokio::test]
async fn a_frame_reaches_every_peer() {
    let (b, c) = (TestNode::start(builder()), TestNode::start(builder()));
    let a = TestNode::start(builder().peers([b.at(), c.at()]));
    let (mut at_b, mut at_c) = (b.subscribe().await, c.subscribe().await);
    let outcomes = a.publish("hello").await;
    assert_eq!(outcomes.len(), 2);
    for (outcome, node) in outcomes.iter().zip([&b, &c]) {
        assert_eq!(outcome.peer, node.at());
        assert_eq!(outcome.node, Some(node.id));
        assert_eq!(*outcome.result.as_ref().unwrap(), None);
    }
    for subscription in [&mut at_b, &mut at_c] {
        let frame = next_frame(subscription).await;
        assert_eq!(frame.bytes, "hello");
        assert_eq!(frame.sender, Sender::Authenticated);
        assert!(frame.ack.is_none());
    }
}

/// Frames of one node arrive in the order in which they were published, however they were batched.
#[tokio::test]
async fn frames_keep_their_order() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_b = b.subscribe().await;
    let sending = futures_util::future::join_all((0..300).map(|n| {
        let a = &a;
        async move { a.publish_one(&n.to_string()).await.unwrap() }
    }));
    let receiving = async {
        for n in 0..300 {
            assert_eq!(next_text(&mut at_b).await, n.to_string());
        }
    };
    within(async { tokio::join!(sending, receiving) }).await;
}

/// An acknowledgement means applied: it comes after the node completed the sink, and not before.
#[tokio::test]
async fn an_acknowledgement_means_applied() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_b = b.subscribe().await;
    let publish = a
        .transport
        .publish(Outgoing::to_all(Bytes::from_static(b"x")).wanting_ack());
    let mut publish = std::pin::pin!(publish);
    let frame = tokio::select! {
        delivery = &mut publish => panic!("before it was applied: {delivery:?}"),
        frame = next_frame(&mut at_b) => frame,
    };
    frame.ack.unwrap().applied();
    let delivery = within(publish).await.unwrap();
    assert!(delivery.peers[0].result.as_ref().unwrap().is_some());
}

/// A frame whose targets did not all apply it is received, and never said to be applied.
#[tokio::test]
async fn a_dropped_acknowledgement_is_received_only() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_b = b.subscribe().await;
    let publish = a
        .transport
        .publish(Outgoing::to_all(Bytes::from_static(b"x")).wanting_ack());
    let dropping = async { drop(next_frame(&mut at_b).await) };
    let (delivery, ()) = within(async { tokio::join!(publish, dropping) }).await;
    assert_eq!(*delivery.unwrap().peers[0].result.as_ref().unwrap(), None);
}

/// A frame for one node reaches that node alone; for one that is not known it is an error.
#[tokio::test]
async fn a_frame_for_one_node_reaches_it_alone() {
    let (b, c) = (TestNode::start(builder()), TestNode::start(builder()));
    let a = TestNode::start(builder().peers([b.at(), c.at()]));
    let (mut at_b, mut at_c) = (b.subscribe().await, c.subscribe().await);
    a.publish("to all").await;
    let mut only = Outgoing::to_all(Bytes::from_static(b"to c"));
    only.to = Destination::Node(c.id);
    let delivery = within(a.transport.publish(only.clone())).await.unwrap();
    assert_eq!(delivery.peers.len(), 1);
    a.publish("to all again").await;
    assert_eq!(next_text(&mut at_b).await, "to all");
    assert_eq!(next_text(&mut at_b).await, "to all again");
    assert_eq!(next_text(&mut at_c).await, "to all");
    assert_eq!(next_text(&mut at_c).await, "to c");

    only.to = Destination::Node(a.id);
    let error = within(a.transport.publish(only)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

/// A peer whose node does not listen never says that it received anything, and is told of the gap once it
/// listens.
#[tokio::test]
async fn a_peer_without_subscription_received_nothing() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let error = a.publish_one("lost").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let mut at_b = b.subscribe().await;
    assert_eq!(next_gap(&mut at_b).await, GapReason::Resync);
    a.publish_until_received("seen").await;
    assert_eq!(next_text(&mut at_b).await, "seen");
    drop(at_b);
    assert!(a.publish_one("lost").await.is_err());
}

/// `P16`: a peer that accepts and never answers delays no other: the other has the frame, and a second one,
/// while the first publish still waits.
#[tokio::test]
async fn a_silent_peer_delays_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let b = TestNode::start(builder());
    let a = TestNode::start(
        builder()
            .peers([silent.local_addr().unwrap().to_string(), b.at()])
            .publish_timeout(support::DEADLINE * 2),
    );
    let mut at_b = b.subscribe().await;
    let first = a
        .transport
        .publish(Outgoing::to_all(Bytes::from_static(b"1")));
    let mut first = std::pin::pin!(first);
    let both = async {
        let (held, _) = silent.accept().await.unwrap();
        assert_eq!(next_text(&mut at_b).await, "1");
        let second = a
            .transport
            .publish(Outgoing::to_all(Bytes::from_static(b"2")));
        let mut second = std::pin::pin!(second);
        tokio::select! {
            delivery = &mut second => panic!("the silent peer answered: {delivery:?}"),
            text = next_text(&mut at_b) => assert_eq!(text, "2"),
        }
        held
    };
    let held = tokio::select! {
        delivery = &mut first => panic!("the silent peer answered: {delivery:?}"),
        held = within(both) => held,
    };
    drop(held);
}

/// A peer that accepts and never answers is a time-out, then an open breaker.
#[tokio::test]
async fn a_silent_peer_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = TestNode::start(
        builder()
            .peer(silent.local_addr().unwrap().to_string())
            .publish_timeout(std::time::Duration::from_millis(100)),
    );
    let error = a.publish_one("x").await.unwrap_err();
    assert!(
        matches!(error.kind, ErrorKind::TimedOut | ErrorKind::Unavailable),
        "{error}"
    );
    eventually("the breaker opens", async || {
        let error = a.publish_one("x").await.unwrap_err();
        (error.kind == ErrorKind::Unavailable).then_some(())
    })
    .await;
}

/// `P11`: what overflows a peer's queue fails at once, and becomes one resync at the peer.
#[tokio::test]
async fn a_full_queue_collapses_to_one_resync() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()).queue_frames(4));
    let mut at_b = b.subscribe().await;
    a.publish_until_received("warm").await;
    assert_eq!(next_text(&mut at_b).await, "warm");

    // Holds the connection: the answer waits for this frame's acknowledgement.
    let holding = a
        .transport
        .publish(Outgoing::to_all(Bytes::from_static(b"hold")).wanting_ack());
    let mut holding = std::pin::pin!(holding);
    let held = tokio::select! {
        delivery = &mut holding => panic!("not yet: {delivery:?}"),
        frame = next_frame(&mut at_b) => frame,
    };
    let five = futures_util::future::join_all((0..5).map(|_| a.publish_one("too many")));
    let outcomes = tokio::select! {
        delivery = &mut holding => panic!("not yet: {delivery:?}"),
        outcomes = within(five) => outcomes,
    };
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind, ErrorKind::TooLarge);
    }
    held.ack.unwrap().applied();
    within(holding).await.unwrap();
    assert_eq!(next_gap(&mut at_b).await, GapReason::Resync);
    a.publish_until_received("after").await;
    // One resync for all of them: the next signal is the frame.
    assert_eq!(next_text(&mut at_b).await, "after");
}

/// `P11`: a subscriber that does not keep up is told of one gap, and the sender that its frame is not there.
#[tokio::test]
async fn a_full_subscription_is_one_gap() {
    let b = TestNode::start(builder().subscription_frames(2));
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_b = b.subscribe().await;
    for text in ["1", "2"] {
        a.publish_one(text).await.unwrap();
    }
    for text in ["3", "4"] {
        let error = a.publish_one(text).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
    }
    assert_eq!(next_gap(&mut at_b).await, GapReason::Overflow);
    assert_eq!(next_text(&mut at_b).await, "1");
    assert_eq!(next_text(&mut at_b).await, "2");
    a.publish_one("5").await.unwrap();
    assert_eq!(next_text(&mut at_b).await, "5");
}

/// Each of several subscriptions gets each frame.
#[tokio::test]
async fn subscriptions_coexist() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let (mut one, mut two) = (b.subscribe().await, b.subscribe().await);
    a.publish_one("x").await.unwrap();
    assert_eq!(next_text(&mut one).await, "x");
    assert_eq!(next_text(&mut two).await, "x");
    drop(one);
    a.publish_one("y").await.unwrap();
    assert_eq!(next_text(&mut two).await, "y");
}

/// A frame of exactly `max_frame` arrives; one byte more is refused before anything is sent.
#[tokio::test]
async fn max_frame_is_what_fits() {
    let b = TestNode::start(builder().body_cap(2_048));
    let a = TestNode::start(builder().body_cap(2_048).peer(b.at()));
    let mut at_b = b.subscribe().await;
    let max = a.transport.capabilities().max_frame;
    a.publish_one(&"x".repeat(max)).await.unwrap();
    assert_eq!(next_frame(&mut at_b).await.bytes.len(), max);
    let too_large = Outgoing::to_all(vec![0; max + 1].into());
    let error = a.transport.publish(too_large).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

/// Without a secret everybody is believed, and the frames say so.
#[tokio::test]
async fn without_a_secret_the_sender_is_unknown() {
    let insecure = || {
        invalidation_transport_http::HttpTransport::builder(support::CLUSTER)
            .listen(([127, 0, 0, 1], 0).into())
            .insecure(true)
    };
    let b = TestNode::start(insecure());
    let a = TestNode::start(insecure().peer(b.at()));
    let mut at_b = b.subscribe().await;
    a.publish_one("x").await.unwrap();
    assert_eq!(next_frame(&mut at_b).await.sender, Sender::Unknown);
}

/// A publisher that gives up recalls nothing.
#[tokio::test]
async fn a_dropped_publish_is_still_sent() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_b = b.subscribe().await;
    {
        let publish = a
            .transport
            .publish(Outgoing::to_all(Bytes::from_static(b"x")));
        let mut publish = std::pin::pin!(publish);
        // Polled once: queued, and not answered yet.
        assert!(futures_util::poll!(publish.as_mut()).is_pending());
    }
    assert!(matches!(
        next(&mut at_b).await,
        invalidation_core::Signal::Frame(frame) if frame.bytes == "x"
    ));
}
