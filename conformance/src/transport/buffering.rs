//! A subscriber that does not keep up.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use invalidation_core::Outgoing;

use super::{
    Member, TransportCluster, TransportHarness,
    listening::{Heard, Listener, list},
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

/// What became of a flood at a subscriber that did not read meanwhile.
struct Flood {
    /// Those whose `publish` succeeded, though a peer may have failed.
    published: BTreeSet<Bytes>,
    /// Those that came.
    came: BTreeSet<Bytes>,
    /// Gaps and ends.
    losses: Vec<String>,
}

/// Subscribes, and reads past what it may tell to begin with: a gap from before the flood covers nothing of it.
async fn listen(cluster: &dyn TransportCluster) -> Listener {
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    publish(from, "before").await;
    listener.expect("before").await;
    listener
}

/// Publishes twice as many frames as may wait, and then reads what does, up to a frame of later.
async fn flood(
    cluster: &dyn TransportCluster,
    mut listener: Listener,
    word: &str,
) -> (Flood, Listener) {
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let published = publish_all(from, word, cluster.buffered() * 2 + AT_ONCE).await;
    let last = Bytes::from(format!("after {word}"));
    let (mut came, mut losses) = (BTreeSet::new(), Vec::new());
    let mut reached = false;
    eventually!("a frame after the flood arrives", {
        drop(from.transport.publish(Outgoing::to_all(last.clone())).await);
        while let Ok(heard) = tokio::time::timeout(READING, listener.hear()).await {
            match heard {
                Heard::Frame(frame) if frame.bytes == last => reached = true,
                Heard::Frame(frame) => drop(came.insert(frame.bytes)),
                Heard::Gap(gap) => losses.push(gap),
                Heard::End(end) => {
                    listener = Listener::at(to).await;
                    losses.push(end);
                }
            }
        }
        reached.then_some(())
    });
    let flood = Flood {
        published,
        came,
        losses,
    };
    (flood, listener)
}

/// Publishes so many numbered frames, while nobody reads. Those that did not fail.
async fn publish_all(from: &Member, word: &str, frames: usize) -> BTreeSet<Bytes> {
    let mut published = BTreeSet::new();
    for begin in (0..frames).step_by(AT_ONCE) {
        let one = async |n: usize| {
            let bytes = Bytes::from(format!("{word} {n}"));
            let frame = Outgoing::to_all(bytes.clone());
            let sent = from.transport.publish(frame).await;
            sent.is_ok().then_some(bytes)
        };
        let batch = join_all((begin..frames.min(begin + AT_ONCE)).map(one));
        let batch = within("publish while nobody reads", PATIENCE, batch).await;
        published.extend(batch.into_iter().flatten());
    }
    published
}

/// A subscriber that does not read receives each frame in the end, or a gap, and then receives again; and so each time
/// that it does not read.
///
/// How many wait is not counted here: some may be on their way, in sockets and in a queue of the backend's own.
pub(crate) async fn a_slow_subscriber_gets_a_gap(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let mut listener = listen(&*cluster).await;
    for word in ["flood", "second flood"] {
        let flooded;
        (flooded, listener) = flood(&*cluster, listener, word).await;
        arrives_or_is_told(&flooded, cluster.buffered())?;
    }
    Ok(())
}

fn arrives_or_is_told(flood: &Flood, buffered: usize) -> Result<(), Unable> {
    if !flood.losses.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = flood.published.difference(&flood.came).collect();
    assert!(
        missing.is_empty(),
        "expected a gap for the {} of {} frames that are missing, and there was none; missing: {}",
        missing.len(),
        flood.published.len(),
        list(missing)
    );
    if flood.published.len() > buffered {
        return Err(Unable::because(format!(
            "each of {} frames waited for a subscriber that does not read, though `buffered` is {buffered}: nothing \
             overflowed, so nobody saw a gap",
            flood.published.len(),
        )));
    }
    // The publisher was told of each that found no room.
    Ok(())
}

/// No more frames wait for a subscriber that does not read than are declared.
pub(crate) async fn no_more_waits_than_declared(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let in_transit = cluster.in_transit().ok_or_else(|| {
        Unable::because("the harness does not say how many frames wait on the way (`in_transit`)")
    })?;
    let most = cluster.buffered() + in_transit;
    let listener = listen(&*cluster).await;
    let (flood, _listener) = flood(&*cluster, listener, "flood").await;
    let waited = flood.came.len();
    assert!(
        waited <= most,
        "expected at most {most} frames of {} to wait for a subscriber that does not read, and got {waited}",
        flood.published.len()
    );
    if flood.published.len() <= most {
        return Err(Unable::because(format!(
            "no more than {} frames were published, and {most} may wait",
            flood.published.len()
        )));
    }
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
