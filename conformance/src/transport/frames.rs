//! Frames are opaque, and arrive whole.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use invalidation_core::{ErrorKind, Outgoing};
use rand::{Rng as _, RngExt as _};

use super::{
    TransportHarness,
    listening::Listener,
    publishing::{failures, publish},
};
use crate::{Unable, seed, wait::within};

/// No case sends more at once.
const LARGEST_SENT: usize = 64 << 20;
/// Nor by several nodes at the same time.
const LARGEST_AT_ONCE: usize = 1 << 20;

/// Every byte passes, whatever text, line or protocol it would mean.
pub(crate) async fn binary_frames_arrive_whole(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    let mut noise = vec![0; from.transport.capabilities().max_frame.min(5_000)];
    seed::random(seed).fill_bytes(&mut noise);
    let frames: [&[u8]; 6] = [
        b"a\0b",
        b"\r\n\r\nPUB x 0\r\n",
        &[0xff, 0xfe, 0x80],
        &[0; 32],
        "'; -- \u{0}\u{10ffff}".as_bytes(),
        &noise,
    ];
    for frame in frames {
        publish(from, frame).await;
        listener.expect(frame).await;
    }
    Ok(())
}

/// A frame of no bytes is a frame.
pub(crate) async fn an_empty_frame_arrives(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    for frame in ["before", "", "after"] {
        publish(from, frame).await;
        listener.expect(frame).await;
    }
    Ok(())
}

/// A frame of `max_frame` bytes arrives whole.
pub(crate) async fn the_largest_frame_arrives_whole(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let largest = largest(from.transport.capabilities().max_frame)?;
    let mut listener = Listener::at(to).await;
    let mut bytes = vec![0; largest];
    seed::random(seed).fill_bytes(&mut bytes);
    for _ in 0..3 {
        publish(from, &bytes).await;
        listener.expect(&bytes).await;
    }
    Ok(())
}

/// Of several nodes that publish large frames at the same time each arrives whole: no part of one is taken for a part of
/// another.
pub(crate) async fn large_frames_at_once_arrive_whole(
    harness: Arc<dyn TransportHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(4).await?;
    let members = cluster.members();
    let capabilities = members[0].transport.capabilities();
    let largest = capabilities.max_frame.min(LARGEST_AT_ONCE);
    let mut random = seed::random(seed);
    let mut listeners = Listener::at_all(members).await;
    for _ in 0..5 {
        let frames: Vec<_> = (0..members.len())
            .map(|_| {
                let mut bytes = vec![0; random.random_range(largest.div_ceil(2)..=largest)];
                random.fill_bytes(&mut bytes);
                Bytes::from(bytes)
            })
            .collect();
        let publishing = members.iter().zip(&frames).map(|(m, f)| publish(m, f));
        // Read all the while: how many bytes may wait is not asked here.
        let reading = listeners.iter_mut().enumerate().map(|(at, listener)| {
            let others = frames.iter().enumerate();
            let others = others.filter(|(from, _)| *from != at || capabilities.echoes);
            let expected: Vec<_> = others.map(|(_, frame)| frame.clone()).collect();
            async move { listener.expect_all(&expected).await }
        });
        tokio::join!(join_all(publishing), join_all(reading));
    }
    Ok(())
}

/// One byte more than `max_frame` is refused as `TooLarge`, before anything is sent.
pub(crate) async fn one_byte_more_is_too_large(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let largest = largest(from.transport.capabilities().max_frame)?;
    let mut listener = Listener::at(to).await;
    let frame = Outgoing::to_all(Bytes::from(vec![1; largest + 1]));
    let limit = cluster.publish_timeout();
    let published = within(
        "refusing a frame above max_frame",
        limit,
        from.transport.publish(frame),
    );
    match published.await {
        Err(error) => assert_eq!(
            error.kind,
            ErrorKind::TooLarge,
            "expected TooLarge for a frame of max_frame + 1 bytes, and got {:?}: {error}",
            error.kind
        ),
        Ok(delivery) => panic!(
            "expected TooLarge for a frame of max_frame + 1 bytes, and it was published: failures {:?}",
            failures(Ok(delivery))
        ),
    }
    // The link is as good as before, and nothing of the large one came through.
    publish(from, "after").await;
    listener.expect("after").await;
    listener
        .never(
            "a frame above max_frame, or a part of it",
            Duration::from_millis(100),
            |_| true,
        )
        .await;
    Ok(())
}

fn largest(max_frame: usize) -> Result<usize, Unable> {
    if max_frame > LARGEST_SENT {
        return Err(Unable::because(format!(
            "its frames may have {max_frame} bytes, and the suite sends at most {LARGEST_SENT}"
        )));
    }
    Ok(max_frame)
}
