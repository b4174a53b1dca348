//! Peers that go away and come back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use invalidation_core::{CacheInvalidationTransport, ErrorKind, GapReason, Signal};
use support::{
    TestNode, builder, eventually, next, next_gap, next_text,
    tap::{Mode, Tap},
    text,
};

/// A dead peer fails at once; back on the same port it gets one resync by itself, with no further publish,
/// and then frames again.
#[tokio::test]
async fn a_dead_peer_gets_one_resync_when_it_is_back() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let mut at_b = b.subscribe().await;
    a.publish_one("before").await.unwrap();
    assert_eq!(next_text(&mut at_b).await, "before");

    b.transport.close().await.unwrap();
    for _ in 0..5 {
        let error = a.publish_one("lost").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    let back = TestNode::start_at(b.address).await;
    let mut at_back = back.subscribe().await;
    assert_eq!(next_gap(&mut at_back).await, GapReason::Resync);

    // The breaker closes once the answer to the resync has come; a publish before that fails, and owes one
    // more resync.
    let mut failed = 0;
    eventually("the peer receives", async || {
        let received = a.publish_one("after").await.ok();
        failed += usize::from(received.is_none());
        received
    })
    .await;
    let mut gaps = 0;
    loop {
        match next(&mut at_back).await {
            Signal::Frame(frame) => {
                assert_eq!(text(&frame), "after");
                break;
            }
            _ => gaps += 1,
        }
    }
    assert!(gaps <= failed, "{gaps} further gaps, {failed} lost frames");
}

/// A restarted peer is another node: it is greeted anew and told to resync, though no publish failed.
#[tokio::test]
async fn a_restarted_peer_is_greeted_and_resynced() {
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().peer(b.at()));
    let at_b = b.subscribe().await;
    a.publish_one("before").await.unwrap();
    drop(at_b);
    b.transport.close().await.unwrap();
    let again = TestNode::start_at(b.address).await;
    let mut at_again = again.subscribe().await;
    assert_eq!(next_gap(&mut at_again).await, GapReason::Resync);
    a.publish_until_received("after").await;
    let outcome = a.publish("after").await.remove(0);
    assert_eq!(outcome.node, Some(again.id));
}

/// A peer that was not there yet when the first frames were published learns of them by a resync.
#[tokio::test]
async fn a_peer_that_starts_late_gets_a_resync() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let a = TestNode::start(builder().peer(address.to_string()));
    assert!(a.publish_one("early").await.is_err());
    let b = TestNode::start_at(address).await;
    let mut at_b = b.subscribe().await;
    assert_eq!(next_gap(&mut at_b).await, GapReason::Resync);
}

/// A peer that nothing was lost for gets no resync: the first signal is the frame.
#[tokio::test]
async fn a_peer_that_missed_nothing_gets_no_resync() {
    let b = TestNode::start(builder());
    let mut at_b = b.subscribe().await;
    let a = TestNode::start(builder().peer(b.at()));
    a.publish_one("first").await.unwrap();
    assert_eq!(next_text(&mut at_b).await, "first");
}

/// A connection that the peer closed is made anew by itself, and frames flow again.
#[tokio::test]
async fn a_connection_that_was_closed_is_made_anew() {
    let b = TestNode::start(builder());
    let tap = Tap::start(b.address).await;
    let a = TestNode::start(builder().peer(tap.address.to_string()));
    let mut at_b = b.subscribe().await;
    a.publish_one("before").await.unwrap();
    assert_eq!(next_text(&mut at_b).await, "before");
    let connections = tap.connections();
    tap.cut();
    eventually("it is made anew", async || {
        (tap.connections() > connections).then_some(())
    })
    .await;
    a.publish_until_received("after").await;
    eventually("the frame arrives", async || match next(&mut at_b).await {
        Signal::Frame(frame) => (text(&frame) == "after").then_some(()),
        // Of a publish that met the open breaker.
        _ => None,
    })
    .await;
}

/// An idle link is tried again and again over the same connection, and a peer that became another node is
/// found out and resynced though nothing is published.
#[tokio::test]
async fn an_idle_link_is_watched() {
    let (b, c) = (TestNode::start(builder()), TestNode::start(builder()));
    let mut at_c = c.subscribe().await;
    let tap = Tap::start(b.address).await;
    let _a = TestNode::start(
        builder()
            .peer(tap.address.to_string())
            .sign_of_life(Duration::from_millis(10)),
    );
    eventually("signs of life", async || {
        (tap.passed().len() >= 5).then_some(())
    })
    .await;
    assert_eq!(tap.connections(), 1);
    tap.set(Mode::Forward(c.address));
    assert_eq!(next_gap(&mut at_c).await, GapReason::Resync);
}

/// P10: a frame that is refused because the peer is known to be away is made up for by a resync, though the link was
/// lost while nothing was on its way, and the peer is the same as before.
#[tokio::test]
async fn p10_a_refused_frame_is_owed_a_resync() {
    let b = TestNode::start(builder());
    let tap = Tap::start(b.address).await;
    let mut at_b = b.subscribe().await;
    let a = TestNode::start(
        builder()
            .peer(tap.address.to_string())
            .sign_of_life(Duration::from_millis(10)),
    );
    a.publish_one("before").await.unwrap();
    assert_eq!(next_text(&mut at_b).await, "before");

    tap.set(Mode::Answer(b"nonsense".to_vec()));
    let connections = tap.connections();
    eventually("the idle link is given up, again and again", async || {
        (tap.connections() > connections + 2).then_some(())
    })
    .await;
    a.publish_one("refused").await.unwrap_err();
    tap.set(Mode::Forward(b.address));
    assert_eq!(next_gap(&mut at_b).await, GapReason::Resync);
}

/// An own address in the list is found out, costs nothing, and is left out of the outcomes.
#[tokio::test]
async fn a_peer_that_is_this_node_is_left_out() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = free.local_addr().unwrap();
    drop(free);
    let b = TestNode::start(builder());
    let a = TestNode::start(builder().listen(own).peers([own.to_string(), b.at()]));
    let (mut at_a, mut at_b) = (a.subscribe().await, b.subscribe().await);
    for text in ["1", "2"] {
        let outcomes = a.publish(text).await;
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].peer, b.at());
        assert_eq!(next_text(&mut at_b).await, text);
    }
    // No echo: the first thing that arrives here is what the other node sends.
    let c = TestNode::start(builder().peer(a.at()));
    c.publish_one("from c").await.unwrap();
    assert_eq!(next_text(&mut at_a).await, "from c");
    a.transport.probe().await.unwrap();
}
