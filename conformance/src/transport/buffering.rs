//! A subscriber that does not keep up.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use invalidation_core::Outgoing;

use super::{
    Member, TransportHarness,
    listening::{Heard, Listener},
    publishing::publish,
};
use crate::{
    Unable,
    wait::{PATIENCE, eventually, within},
};

/// As many at once as no queue to a peer minds.
const AT_ONCE: usize = 100;
/// Nothing more waits when nothing comes for so long.
const READING: Duration = Duration::from_millis(200);

/// Publishes so many numbered frames, and does not mind those that fail.
async fn flood(from: &Member, frames: usize) {
    for begin in (0..frames).step_by(AT_ONCE) {
        let one = |n: usize| {
            let frame = Outgoing::to_all(Bytes::from(format!("flood {n}")));
            from.transport.publish(frame)
        };
        let batch = join_all((begin..frames.min(begin + AT_ONCE)).map(one));
        drop(within("publish while nobody reads", PATIENCE, batch).await);
    }
}

/// A subscriber that does not read loses frames with a gap, keeps no more than `buffered` of them, and then receives
/// again.
pub(crate) async fn a_slow_subscriber_gets_a_gap(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let buffered = cluster.buffered();
    let flooded = buffered * 2 + AT_ONCE;
    let mut listener = Listener::at(to).await;
    // Past what it may tell to begin with: a gap from before the flood covers nothing of it.
    publish(from, "before").await;
    listener.expect("before").await;
    flood(from, flooded).await;
    let (mut frames, mut losses) = (0, Vec::new());
    // All that waits, up to a frame of later.
    let mut reached = false;
    eventually!("a frame after the flood arrives", {
        let after = Outgoing::to_all(Bytes::from_static(b"after"));
        drop(from.transport.publish(after).await);
        while let Ok(heard) = tokio::time::timeout(READING, listener.hear()).await {
            match heard {
                Heard::Frame(frame) if frame.bytes == "after" => reached = true,
                Heard::Frame(_) => frames += 1,
                Heard::Gap(gap) => losses.push(gap),
                Heard::End(end) => {
                    listener = Listener::at(to).await;
                    losses.push(end);
                }
            }
        }
        reached.then_some(())
    });
    assert!(
        frames <= buffered,
        "expected at most {buffered} frames of {flooded} to wait for a subscriber that does not read, and got {frames}"
    );
    assert!(
        !losses.is_empty(),
        "expected a gap for the {} of {flooded} frames that are missing, and there was none",
        flooded - frames
    );
    Ok(())
}

/// A subscriber that does not read delays no other one, and no publisher.
pub(crate) async fn a_slow_subscriber_delays_no_other(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(3).await?;
    let members = cluster.members();
    let _slow = Listener::at(&members[1]).await;
    let mut listener = Listener::at(&members[2]).await;
    let flooded = cluster.buffered() + AT_ONCE;
    for n in 0..flooded {
        // The slow one's outcome may be an error: its buffer is full.
        let text = format!("{n}");
        let frame = Outgoing::to_all(Bytes::from(text.clone()));
        let publishing = members[0].transport.publish(frame);
        let published = within("publish while one does not read", PATIENCE, publishing).await;
        if let Err(error) = published {
            panic!("expected publish to succeed while one of two does not read: {error}");
        }
        listener.expect(&text).await;
    }
    Ok(())
}
