//! Who does not read, and who is cut off by the server for it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use invalidation_core::{CacheInvalidationTransport as _, Outgoing};
use invalidation_testbed::{Proxy, Server};
use libtest_mimic::Trial;

use crate::stage::{
    Bed, Setup, builder, fresh_cluster, hear, node, publish, subscribe, through, trial, trial_on,
    within,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_is_not_read_overflows", what_is_not_read_overflows),
        trial_on(
            "who_is_cut_off_by_the_server_is_told",
            || Setup::new("max_pending: 2000000, write_deadline: \"1s\""),
            who_is_cut_off_by_the_server_is_told,
        ),
    ]
}

/// What is above the buffer is one gap, ahead of the frames that wait; then it receives again, and its own frames were
/// confirmed all the while.
async fn what_is_not_read_overflows(nats: &'static Server) {
    let cluster = fresh_cluster();
    let node = builder(&cluster, &nats.url()).buffered(2).build().unwrap();
    let mut subscription = subscribe(&node).await;
    for text in ["1", "2", "3", "4", "5"] {
        publish(&node, text).await.unwrap();
    }
    for expected in ["gap: overflow", "1", "2"] {
        assert_eq!(hear(&mut subscription).await, expected);
    }
    publish(&node, "after").await.unwrap();
    loop {
        match hear(&mut subscription).await.as_str() {
            "after" => break,
            // The driver says it of each, in its own time.
            heard => assert_eq!(heard, "gap: overflow"),
        }
    }
}

/// A server that has more for a client than it keeps ends the connection: that is the end of the subscription, and not a
/// reconnect without a word.
async fn who_is_cut_off_by_the_server_is_told(bed: Bed) {
    let cluster = fresh_cluster();
    let proxy = Proxy::to(bed.server.address()).unwrap();
    let to = builder(&cluster, &through(&proxy))
        .notices_loss_within(Duration::from_secs(600))
        .build()
        .unwrap();
    let from = node(&cluster, &bed.server.url());
    let mut subscription = subscribe(&to).await;
    proxy.black_hole();
    let large = Bytes::from(vec![0; 500_000]);
    // More than the sockets in between hold.
    for _ in 0..10 {
        let frames = (0..10).map(|_| from.publish(Outgoing::to_all(large.clone())));
        drop(within("publish", join_all(frames)).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.heal();
    let mut told = hear(&mut subscription).await;
    while !told.starts_with("end") {
        told = hear(&mut subscription).await;
    }
    assert_eq!(told, "end: Unavailable");
    let mut subscription = subscribe(&to).await;
    publish(&from, "after").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "after");
}
