//! What is sent, and what is not.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all};
use invalidation_core::{CacheInvalidationTransport as _, ErrorKind, Outgoing};
use invalidation_testbed::{Proxy, Server};
use libtest_mimic::Trial;

use crate::stage::{
    Bed, QUIET, Setup, builder, fresh_cluster, hear, node, publish, subscribe, through, trial,
    trial_on, within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("one_confirmation_serves_many", one_confirmation_serves_many),
        trial(
            "what_a_lost_link_kept_is_never_sent",
            what_a_lost_link_kept_is_never_sent,
        ),
        trial("the_largest_frames_arrive", the_largest_frames_arrive),
        trial_on(
            "a_frame_above_the_servers_limit_is_told",
            || Setup::new("max_payload: 1000"),
            a_frame_above_the_servers_limit_is_told,
        ),
    ]
}

/// Frames that are published at once are confirmed together, and each of them comes.
async fn one_confirmation_serves_many(nats: &'static Server) {
    const FRAMES: usize = 500;
    let cluster = fresh_cluster();
    let proxy = Proxy::to(nats.address()).unwrap();
    let node = node(&cluster, &through(&proxy));
    let mut subscription = subscribe(&node).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let fences = format!("cache_invalidation.{cluster}.link.*");
    let mut fences = client.subscribe(fences).await.unwrap();
    client.flush().await.unwrap();
    proxy.delay(Duration::from_millis(20));
    for published in join_all((0..FRAMES).map(|_| publish(&node, "the same"))).await {
        published.unwrap();
    }
    for _ in 0..FRAMES {
        assert_eq!(hear(&mut subscription).await, "the same");
    }
    let mut seen = 0;
    while let Ok(Some(_)) = tokio::time::timeout(QUIET, fences.next()).await {
        seen += 1;
    }
    assert!(
        (1..FRAMES / 10).contains(&seen),
        "expected {FRAMES} frames to be confirmed by a few messages, and saw {seen}"
    );
}

/// Frames that went into a silent link do not come when it is well again, once they were said to have failed: the driver
/// keeps them, and is not let connect again.
async fn what_a_lost_link_kept_is_never_sent(nats: &'static Server) {
    let cluster = fresh_cluster();
    let proxy = Proxy::to(nats.address()).unwrap();
    let to = node(&cluster, &nats.url());
    let mut subscription = subscribe(&to).await;
    let from = builder(&cluster, &through(&proxy))
        .publish_timeout(Duration::from_millis(300))
        .notices_loss_within(Duration::from_secs(1))
        .build()
        .unwrap();
    let mut link = subscribe(&from).await;
    publish(&from, "before").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "before");
    proxy.black_hole();
    let large = vec![b'x'; 100_000];
    let texts = (0..50).map(|_| Outgoing::to_all(Bytes::from(large.clone())));
    let publishing = join_all(texts.map(|frame| from.publish(frame)));
    for published in within("publish", publishing).await {
        assert_eq!(published.unwrap_err().kind, ErrorKind::TimedOut);
    }
    while !hear(&mut link).await.starts_with("end") {}
    // What is in sockets is the network's.
    proxy.cut();
    for _ in 0..5 {
        let error = publish(&from, "while down").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }
    proxy.heal();
    within("the link is well again", async {
        while publish(&from, "after").await.is_err() {}
    })
    .await;
    let mut heard = BTreeSet::new();
    while let Ok(text) = tokio::time::timeout(QUIET * 3, hear(&mut subscription)).await {
        heard.insert(text);
    }
    assert_eq!(heard, BTreeSet::from(["after".to_owned()]));
}

/// What is declared by default is what a server takes by default, also of several nodes at once.
async fn the_largest_frames_arrive(nats: &'static Server) {
    let cluster = fresh_cluster();
    let nodes: Vec<_> = (0..3).map(|_| node(&cluster, &nats.url())).collect();
    let largest = nodes[0].capabilities().max_frame;
    assert_eq!(largest, 1 << 20);
    let mut subscription = subscribe(&nodes[0]).await;
    let mut expected = BTreeSet::new();
    let publishing = nodes.iter().zip(["1", "2", "3"]).map(|(node, text)| {
        let frame = text.repeat(largest);
        expected.insert(frame.clone());
        node.publish(Outgoing::to_all(frame.into()))
    });
    for published in within("publish", join_all(publishing)).await {
        published.unwrap();
    }
    for _ in 0..3 {
        let frame = hear(&mut subscription).await;
        assert!(expected.remove(&frame), "{} bytes", frame.len());
    }
}

/// The client that is built without knowing the server's limit says what to change, and the link stays.
async fn a_frame_above_the_servers_limit_is_told(bed: Bed) {
    let cluster = fresh_cluster();
    let unaware = node(&cluster, &bed.server.url());
    let mut subscription = subscribe(&unaware).await;
    let frame = |size| Outgoing::to_all(Bytes::from(vec![b'x'; size]));
    let error = unaware.publish(frame(1_001)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    assert!(error.message.contains("max_frame 1000"), "{error}");
    unaware.publish(frame(1_000)).await.unwrap();
    assert_eq!(hear(&mut subscription).await.len(), 1_000);
    let told = builder(&cluster, &bed.server.url()).max_frame(1_000);
    assert_eq!(told.build().unwrap().capabilities().max_frame, 1_000);
}
