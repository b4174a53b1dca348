//! What other clients of the servers say and do.

use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt as _;
use invalidation_core::ErrorKind;
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::relay::Relay;
use crate::stage::{builder, fresh_cluster, hear, node, publish, subscribe, trial, within, works};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("nonsense_is_a_gap", nonsense_is_a_gap),
        trial("a_nudge_is_a_doorbell", a_nudge_is_a_doorbell),
        trial("any_name_of_a_cluster_serves", any_name_of_a_cluster_serves),
        trial(
            "who_listens_to_everything_changes_nothing",
            who_listens_to_everything_changes_nothing,
        ),
        trial(
            "who_answers_for_the_server_confirms_nothing",
            who_answers_for_the_server_confirms_nothing,
        ),
    ]
}

async fn client(nats: &Server) -> Client {
    async_nats::connect(nats.url()).await.unwrap()
}

/// `P12`: what is no frame is a gap, and frames come after it as before.
async fn nonsense_is_a_gap(nats: &'static Server) {
    let cluster = fresh_cluster();
    let node = node(&cluster, &nats.url());
    let mut subscription = subscribe(&node).await;
    let client = client(nats).await;
    let base = format!("cache_invalidation.{cluster}");
    client
        .publish(format!("{base}.unknown"), "hello".into())
        .await
        .unwrap();
    assert_eq!(hear(&mut subscription).await, "gap: frame_unreadable");
    client
        .publish_with_reply(format!("{base}.frame"), "somewhere", "a request".into())
        .await
        .unwrap();
    assert_eq!(hear(&mut subscription).await, "gap: frame_unreadable");
    publish(&node, "after").await.unwrap();
    assert_eq!(hear(&mut subscription).await, "after");
}

/// `nats pub cache_invalidation.CLUSTER.nudge ''` makes each node read its log.
async fn a_nudge_is_a_doorbell(nats: &'static Server) {
    let cluster = fresh_cluster();
    let node = node(&cluster, &nats.url());
    let mut subscription = subscribe(&node).await;
    let client = client(nats).await;
    let subject = format!("cache_invalidation.{cluster}.nudge");
    client.publish(subject, "".into()).await.unwrap();
    assert_eq!(hear(&mut subscription).await, "nudge");
}

/// A name of any characters and length is a subject, and no other cluster's.
async fn any_name_of_a_cluster_serves(nats: &'static Server) {
    let long = "x".repeat(127);
    let mut heard = Vec::new();
    for name in [
        "it's \"x\"; * > \\",
        "ä€😀",
        "a.b",
        "a",
        &format!("{long}1"),
        &format!("{long}2"),
    ] {
        let node = node(name, &nats.url());
        let subscription = subscribe(&node).await;
        heard.push((node, subscription));
    }
    for (node, subscription) in &mut heard {
        publish(node, "own").await.unwrap();
        assert_eq!(hear(subscription).await, "own");
    }
    for (node, subscription) in &mut heard {
        // Nothing of the others' came in between.
        publish(node, "last").await.unwrap();
        assert_eq!(hear(subscription).await, "last");
    }
}

/// An operator who looks at all that passes is in nobody's way, and sees each frame once.
async fn who_listens_to_everything_changes_nothing(nats: &'static Server) {
    let client = client(nats).await;
    let cluster = fresh_cluster();
    let mut all = client
        .subscribe(format!("cache_invalidation.{cluster}.>"))
        .await
        .unwrap();
    client.flush().await.unwrap();
    let node = node(&cluster, &nats.url());
    works(&node).await;
    let mut frames = 0;
    // The probe's message is the last.
    within("the frame passes", async {
        while let Some(message) = all.next().await {
            frames += usize::from(message.payload == "it works");
            if frames > 0 {
                break;
            }
        }
    })
    .await;
}

/// Who has seen a confirmation and sends it again, while frames do not reach the server, confirms none of them.
async fn who_answers_for_the_server_confirms_nothing(nats: &'static Server) {
    let client = client(nats).await;
    let cluster = fresh_cluster();
    let mut all = client
        .subscribe(format!("cache_invalidation.{cluster}.link.*"))
        .await
        .unwrap();
    client.flush().await.unwrap();
    let relay = Relay::to(nats.address()).await;
    let node = builder(&cluster, &relay.url())
        .publish_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    works(&node).await;
    let seen = within("a confirmation passes", all.next()).await.unwrap();
    relay.is_deaf(true);
    let forging = async {
        loop {
            let forged = seen.payload.clone();
            client.publish(seen.subject.clone(), forged).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        published = publish(&node, "unheard") => {
            assert_eq!(published.unwrap_err().kind, ErrorKind::TimedOut);
        }
        () = forging => {}
    }
    relay.is_deaf(false);
}
