//! The transport in memory: what it promises as a transport, and that its faults are what they say.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and unwrap says where"
)]

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use invalidation_core::{
    CacheInvalidationTransport, Destination, ErrorKind, MemoryHub, MemoryTransport, NodeId,
    Outgoing, Sender, Signal, Subscription,
};

fn frame(text: &'static str) -> Outgoing {
    Outgoing::to_all(Bytes::from_static(text.as_bytes()))
}

async fn send(from: &MemoryTransport, texts: &[&'static str]) {
    for text in texts {
        from.publish(frame(text)).await.unwrap();
    }
}

/// What has arrived by now: texts of frames, reasons of gaps.
fn arrived(subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(Some(signal)) = subscription.next().now_or_never() {
        all.push(match signal {
            Ok(Signal::Frame(frame)) => String::from_utf8(frame.bytes.to_vec()).unwrap(),
            Ok(Signal::Gap(reason)) => format!("gap {reason}"),
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("error {:?}", error.kind),
        });
    }
    all
}

/// A frame reaches all others in order, and not its sender.
#[tokio::test]
async fn frames_reach_all_others() {
    let hub = MemoryHub::new();
    let [a, b, c] = [(); 3].map(|()| MemoryTransport::new(&hub));
    let mut at_a = a.subscribe().await.unwrap();
    let mut at_b = b.subscribe().await.unwrap();
    let mut at_c = c.subscribe().await.unwrap();
    send(&a, &["1", "2"]).await;
    assert_eq!(arrived(&mut at_b), ["1", "2"]);
    assert_eq!(arrived(&mut at_c), ["1", "2"]);
    assert_eq!(arrived(&mut at_a), [""; 0]);
    drop(at_c);
    assert_eq!(hub.subscribers(), 2);
}

/// With echoes, it reaches its sender too.
#[tokio::test]
async fn echoes_when_asked() {
    let hub = MemoryHub::new().with_echoes();
    let a = MemoryTransport::new(&hub);
    assert!(a.capabilities().echoes);
    let mut at_a = a.subscribe().await.unwrap();
    send(&a, &["1"]).await;
    assert_eq!(arrived(&mut at_a), ["1"]);
}

/// An own echo is no peer's: no outcome names it, and no publish waits for it.
#[tokio::test]
async fn an_echo_is_no_peer() {
    let hub = MemoryHub::new().with_echoes();
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let (node, other) = (NodeId::random(), NodeId::random());
    a.bind(node);
    b.bind(other);
    let (mut at_a, at_b) = (a.subscribe().await.unwrap(), b.subscribe().await.unwrap());
    let delivery = a.publish(frame("1")).await.unwrap();
    let named: Vec<_> = delivery.peers.iter().map(|peer| peer.node).collect();
    assert_eq!(named, [Some(other)]);
    drop(at_b);
    let wanting = a.publish(frame("2").wanting_ack()).await.unwrap();
    assert!(wanting.peers.is_empty());
    assert_eq!(arrived(&mut at_a), ["1", "2"]);
}

/// A peer that was closed received nothing, though its stream is still there.
#[tokio::test]
async fn a_closed_peer_is_not_reached() {
    let hub = MemoryHub::new();
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let _at_b = b.subscribe().await.unwrap();
    assert_eq!(a.publish(frame("1")).await.unwrap().peers.len(), 1);
    b.close().await.unwrap();
    assert!(a.publish(frame("2")).await.unwrap().peers.is_empty());
}

/// A frame to one node reaches that node alone.
#[tokio::test]
async fn unicast_reaches_one() {
    let hub = MemoryHub::new();
    let [a, b, c] = [(); 3].map(|()| MemoryTransport::new(&hub));
    let node = NodeId::random();
    b.bind(node);
    let mut at_b = b.subscribe().await.unwrap();
    let mut at_c = c.subscribe().await.unwrap();
    let mut outgoing = frame("1");
    outgoing.to = Destination::Node(node);
    let delivery = a.publish(outgoing).await.unwrap();
    assert_eq!(delivery.peers.len(), 1);
    assert_eq!(delivery.peers[0].node, Some(node));
    assert_eq!(arrived(&mut at_b), ["1"]);
    assert_eq!(arrived(&mut at_c), [""; 0]);
}

/// A frame too large is refused, and reaches nobody.
#[tokio::test]
async fn a_frame_too_large_is_refused() {
    let hub = MemoryHub::new().with_max_frame(3);
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let mut at_b = b.subscribe().await.unwrap();
    let error = a.publish(frame("four")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    send(&a, &["3_3"]).await;
    assert_eq!(arrived(&mut at_b), ["3_3"]);
}

/// P10: a subscriber that is too slow is told by a gap, where frames are missing.
#[tokio::test]
async fn overflow_is_a_gap() {
    let hub = MemoryHub::new().with_buffer(2);
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let mut at_b = b.subscribe().await.unwrap();
    send(&a, &["1", "2", "3", "4"]).await;
    assert_eq!(arrived(&mut at_b), ["1", "2", "gap overflow"]);
    send(&a, &["5"]).await;
    assert_eq!(arrived(&mut at_b), ["5"]);
}

/// A publisher that wants it hears who applied its frame, and who did not in time.
#[tokio::test(start_paused = true)]
async fn acknowledgements_come_back() {
    let hub = MemoryHub::new();
    let [a, applies, drops, sleeps] = [(); 4].map(|()| MemoryTransport::new(&hub));
    let mut at_applies = applies.subscribe().await.unwrap();
    let mut at_drops = drops.subscribe().await.unwrap();
    let _at_sleeps = sleeps.subscribe().await.unwrap();
    let publish = a.publish(frame("1").wanting_ack());
    let receive = async {
        let Some(Ok(Signal::Frame(frame))) = at_applies.next().await else {
            panic!("no frame");
        };
        assert_eq!(frame.sender, Sender::Authenticated);
        frame.ack.unwrap().applied();
        at_drops.next().await.unwrap().unwrap();
    };
    let (delivery, ()) = tokio::join!(publish, receive);
    let outcomes: Vec<_> = delivery
        .unwrap()
        .peers
        .into_iter()
        .map(|peer| {
            peer.result
                .map(|applied| applied.is_some())
                .map_err(|e| e.kind)
        })
        .collect();
    assert_eq!(outcomes, [Ok(true), Ok(false), Err(ErrorKind::TimedOut)]);
}

/// Frames are lost as asked, without an error: from the sender to all, or at one receiver.
#[tokio::test]
async fn frames_are_lost_silently() {
    let hub = MemoryHub::new();
    let [a, b, c] = [(); 3].map(|()| MemoryTransport::new(&hub));
    let mut at_b = b.subscribe().await.unwrap();
    let mut at_c = c.subscribe().await.unwrap();
    a.faults().lose_sent(1);
    b.faults().lose_received(1);
    send(&a, &["1", "2", "3"]).await;
    assert_eq!(arrived(&mut at_b), ["3"]);
    assert_eq!(arrived(&mut at_c), ["2", "3"]);

    a.faults().lose_sent(u64::MAX);
    send(&a, &["4", "5"]).await;
    a.faults().heal();
    b.faults().swallow(true);
    send(&a, &["6"]).await;
    send(&b, &["7"]).await;
    b.faults().swallow(false);
    send(&a, &["8"]).await;
    assert_eq!(arrived(&mut at_b), ["8"]);
    assert_eq!(arrived(&mut at_c), ["6", "8"]);
}

/// Frames arrive twice, late and in any order.
#[tokio::test]
async fn frames_are_duplicated_and_reordered() {
    let hub = MemoryHub::new();
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let mut at_b = b.subscribe().await.unwrap();
    a.faults().duplicate_sent(true);
    send(&a, &["1"]).await;
    assert_eq!(arrived(&mut at_b), ["1", "1"]);
    a.faults().duplicate_sent(false);

    a.faults().hold_sent();
    send(&a, &["2", "3", "4"]).await;
    assert_eq!(a.faults().held(), 3);
    assert_eq!(arrived(&mut at_b), [""; 0]);
    assert!(a.faults().release(2));
    assert!(!a.faults().release(2));
    assert_eq!(arrived(&mut at_b), ["4"]);
    a.faults().heal();
    send(&a, &["5"]).await;
    assert_eq!(arrived(&mut at_b), ["2", "3", "5"]);
}

/// P10: a cut link ends the subscription with an error, and nothing goes until it heals.
#[tokio::test]
async fn a_cut_link_ends_loudly() {
    let hub = MemoryHub::new();
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let mut at_b = b.subscribe().await.unwrap();
    send(&a, &["1"]).await;
    b.faults().cut();
    assert_eq!(arrived(&mut at_b), ["error Unavailable"]);
    assert!(at_b.next().await.is_none());
    assert_eq!(
        b.subscribe().await.map(|_| ()).unwrap_err().kind,
        ErrorKind::Unavailable
    );
    assert_eq!(
        b.publish(frame("2")).await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    assert_eq!(b.probe().await.unwrap_err().kind, ErrorKind::Unavailable);
    send(&a, &["3"]).await;

    b.faults().heal();
    let mut at_b = b.subscribe().await.unwrap();
    b.probe().await.unwrap();
    send(&a, &["4"]).await;
    assert_eq!(arrived(&mut at_b), ["4"]);
}

/// A receiver sees injected frames and doorbells as they were given.
#[tokio::test]
async fn signals_are_injected() {
    let hub = MemoryHub::new();
    let a = MemoryTransport::new(&hub);
    let mut at_a = a.subscribe().await.unwrap();
    a.faults()
        .inject(Bytes::from_static(b"forged"), Sender::Unknown);
    a.faults().inject_nudge();
    let Some(Ok(Signal::Frame(frame))) = at_a.next().await else {
        panic!("no frame");
    };
    assert_eq!(
        (&frame.bytes[..], frame.sender),
        (&b"forged"[..], Sender::Unknown)
    );
    assert!(matches!(at_a.next().await, Some(Ok(Signal::Nudge))));
}

/// P16: a publish fails or hangs as asked, and hears nothing of it elsewhere.
#[tokio::test(start_paused = true)]
async fn a_publish_fails_or_hangs() {
    let hub = MemoryHub::new();
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let mut at_b = b.subscribe().await.unwrap();
    a.faults().publishes().fail_next(1, ErrorKind::TimedOut);
    assert_eq!(
        a.publish(frame("1")).await.unwrap_err().kind,
        ErrorKind::TimedOut
    );
    a.faults().publishes().hang();
    let hanging = tokio::time::timeout(Duration::from_secs(60), a.publish(frame("2")));
    assert!(hanging.await.is_err());
    a.faults().heal();
    send(&a, &["3"]).await;
    assert_eq!(arrived(&mut at_b), ["3"]);
}

/// `close` is idempotent, ends the subscription without an error, and is for good.
#[tokio::test]
async fn close_ends_the_subscription() {
    let hub = MemoryHub::new();
    let [a, b] = [(); 2].map(|()| MemoryTransport::new(&hub));
    let mut at_a = a.subscribe().await.unwrap();
    a.close().await.unwrap();
    a.close().await.unwrap();
    assert!(at_a.next().await.is_none());
    a.faults().heal();
    assert_eq!(
        a.subscribe().await.map(|_| ()).unwrap_err().kind,
        ErrorKind::Closed
    );
    assert_eq!(
        a.publish(frame("1")).await.unwrap_err().kind,
        ErrorKind::Closed
    );
    b.publish(frame("2")).await.unwrap();
}
