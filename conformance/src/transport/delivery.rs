//! Who receives, and in which order, while nothing fails.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use rand::RngExt as _;

use super::{TransportHarness, listening::Listener, publishing::publish};
use crate::{Unable, seed};

/// Long enough for what should not come.
const AFTERWARDS: Duration = Duration::from_millis(200);
/// More than fits one packet, or one row.
const LONG: usize = 60_000;

/// What one node publishes, each other one receives.
pub(crate) async fn a_frame_reaches_all_others(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(3).await?;
    let members = cluster.members();
    let mut listeners = Listener::at_all(members).await;
    for (from, member) in members.iter().enumerate() {
        let text = format!("from {from}");
        publish(member, &text).await;
        for (at, listener) in listeners.iter_mut().enumerate() {
            if at != from {
                receive(listener, &text).await;
            }
        }
    }
    Ok(())
}

/// All of many nodes receive.
pub(crate) async fn many_subscribers_all_receive(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(8).await?;
    let mut listeners = Listener::at_all(cluster.members()).await;
    let texts: Vec<_> = (0..10).map(|n| format!("{n}")).collect();
    for text in &texts {
        publish(&cluster.members()[0], text).await;
    }
    let expected: Vec<_> = texts.into_iter().map(Bytes::from).collect();
    for listener in &mut listeners[1..] {
        listener.expect_all(&expected).await;
    }
    Ok(())
}

/// A frame that is published the moment `subscribe` returns is received, each time.
pub(crate) async fn live_when_subscribe_returns(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    for n in 0..20 {
        let mut listener = Listener::at(to).await;
        let text = format!("published at once, time {n}");
        publish(from, &text).await;
        listener.expect(&text).await;
    }
    Ok(())
}

/// What one node publishes one after another arrives in this order at each other node, be it short or long.
pub(crate) async fn one_origin_arrives_in_order(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(3).await?;
    let members = cluster.members();
    let mut listeners = Listener::at_all(members).await;
    let mut random = seed::random(seed);
    let longest = members[0].transport.capabilities().max_frame.min(LONG);
    let mut published = 0;
    while published < 300 {
        // No more than any buffer holds, with pauses in which parts of it are taken.
        let next = published + random.random_range(1..=30.min(cluster.buffered()));
        let frames: Vec<_> = (published..next)
            .map(|n| match random.random_ratio(1, 10) {
                true => format!("{n:x<longest$}"),
                false => format!("{n}"),
            })
            .collect();
        for frame in &frames {
            publish(&members[0], frame).await;
            if random.random_ratio(1, 20) {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
            }
        }
        for listener in &mut listeners[1..] {
            for frame in &frames {
                listener.expect(frame).await;
            }
        }
        published = next;
    }
    Ok(())
}

/// Of many publishers at once, with many frames in flight each, nothing is lost.
pub(crate) async fn concurrent_publishers_lose_nothing(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(4).await?;
    let members = cluster.members();
    let mut listeners = Listener::at_all(members).await;
    let echoes = members[0].transport.capabilities().echoes;
    // In all no more than a subscriber's buffer holds.
    let at_once = (cluster.buffered() / members.len()).clamp(1, 50);
    let text = |batch: usize, from: usize, n: usize| {
        Bytes::from(format!("frame {n} of {from} in batch {batch}"))
    };
    for batch in 0..5 {
        let publishing = (0..members.len()).flat_map(|from| (0..at_once).map(move |n| (from, n)));
        let one = |(from, n)| publish(&members[from], text(batch, from, n));
        join_all(publishing.map(one)).await;
        for (at, listener) in listeners.iter_mut().enumerate() {
            let senders = (0..members.len()).filter(|from| *from != at || echoes);
            let expected: Vec<_> = senders
                .flat_map(|from| (0..at_once).map(move |n| text(batch, from, n)))
                .collect();
            listener.expect_all(&expected).await;
        }
    }
    Ok(())
}

/// While nothing fails, each frame comes once, and nothing else does.
pub(crate) async fn a_frame_comes_once(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(3).await?;
    let members = cluster.members();
    let mut listeners = Listener::at_all(members).await;
    let frames = 20.min(cluster.buffered());
    let expected: Vec<_> = (0..frames).map(|n| Bytes::from(format!("{n}"))).collect();
    for bytes in &expected {
        publish(&members[0], bytes).await;
    }
    for listener in &mut listeners[1..] {
        listener.expect_all(&expected).await;
        listener.expect_nothing_more(AFTERWARDS).await;
    }
    Ok(())
}

/// While nothing fails, no gap is told, but for one with which a subscription may begin.
pub(crate) async fn no_gap_while_nothing_fails(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(3).await?;
    let members = cluster.members();
    let mut listeners = Listener::at_all(members).await;
    for n in 0..20 {
        let text = format!("{n}");
        publish(&members[0], &text).await;
        for listener in &mut listeners[1..] {
            listener.expect(&text).await;
        }
    }
    for listener in &mut listeners[1..] {
        listener.expect_nothing_more(AFTERWARDS).await;
    }
    Ok(())
}

/// A node receives its own frames if `echoes` is declared, and else never.
pub(crate) async fn own_frames_come_as_declared(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let members = cluster.members();
    let mut listeners = Listener::at_all(members).await;
    publish(&members[0], "own").await;
    listeners[1].expect("own").await;
    if members[0].transport.capabilities().echoes {
        listeners[0].expect("own").await;
        return Ok(());
    }
    // What it receives next is of the other.
    publish(&members[1], "the other's").await;
    listeners[0].expect("the other's").await;
    let own = |frame: &invalidation_core::Frame| frame.bytes == "own";
    listeners[0]
        .never(
            "its own frame, since echoes is false",
            Duration::from_millis(100),
            own,
        )
        .await;
    Ok(())
}

/// When a subscription ended, another one receives what is published from then on.
pub(crate) async fn one_subscribes_again(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    for n in 0..3 {
        let mut listener = Listener::at(to).await;
        for m in 0..3 {
            let text = format!("frame {m} of subscription {n}");
            publish(from, &text).await;
            listener.expect(&text).await;
        }
        drop(listener);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The frame of another node; an own one before it is allowed where echoes are declared.
async fn receive(listener: &mut Listener, text: &str) {
    loop {
        let frame = listener.next_frame(&format!("frame {text:?}")).await;
        if frame.bytes == text {
            return;
        }
        // An echo of an earlier round.
        assert!(
            frame.bytes.starts_with(b"from "),
            "expected frame {text:?}, and got {:?}",
            frame.bytes
        );
    }
}

/// A subscription to which nothing came for longer than a loss takes to be noticed still hears, and was told of no gap.
pub(crate) async fn a_quiet_subscription_still_hears(
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
    let declared = to.transport.capabilities().notices_loss_within;
    listener
        .expect_nothing_more(declared + Duration::from_secs(1))
        .await;
    publish(from, "after").await;
    listener.expect("after").await;
    Ok(())
}
