//! What other clients of the cluster write.

use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::stage::{client, fresh_cluster, hear, key, node, publish, subscribe, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("nonsense_is_a_gap", nonsense_is_a_gap),
        trial("an_empty_value_is_a_doorbell", an_empty_value_is_a_doorbell),
        trial("a_deleted_key_is_nothing", a_deleted_key_is_nothing),
        trial("any_name_of_a_cluster_serves", any_name_of_a_cluster_serves),
    ]
}

/// `P12`: what is no frame is a gap, and frames come after it as before.
async fn nonsense_is_a_gap(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let (from, to) = (
        node(&cluster, etcd.address()),
        node(&cluster, etcd.address()),
    );
    let mut subscription = subscribe(&to).await;
    let mut any = client(etcd).await;
    for nonsense in [
        &b"hello"[..],
        b"\x01",
        b"\x02sixteen bytes....",
        &[0xff; 100],
    ] {
        any.put(key(&cluster), nonsense, None).await.unwrap();
        assert_eq!(hear(&mut subscription).await, "gap: frame_unreadable");
        publish(&from, "after").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "after");
    }
}

/// An empty value, from anybody's script, makes each node read its log.
async fn an_empty_value_is_a_doorbell(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let to = node(&cluster, etcd.address());
    let mut subscription = subscribe(&to).await;
    let mut any = client(etcd).await;
    any.put(key(&cluster), "", None).await.unwrap();
    assert_eq!(hear(&mut subscription).await, "nudge");
}

/// Somebody who deletes the key says nothing by it, and neither do keys beside it.
async fn a_deleted_key_is_nothing(etcd: &'static Server) {
    let cluster = fresh_cluster();
    let (from, to) = (
        node(&cluster, etcd.address()),
        node(&cluster, etcd.address()),
    );
    let mut subscription = subscribe(&to).await;
    let mut any = client(etcd).await;
    for _ in 0..2 {
        publish(&from, "x").await.unwrap();
        assert_eq!(hear(&mut subscription).await, "x");
        any.delete(key(&cluster), None).await.unwrap();
        any.put(format!("{}/x", key(&cluster)), "x", None)
            .await
            .unwrap();
    }
}

/// A name of any characters and length has a key, and no other cluster's.
async fn any_name_of_a_cluster_serves(etcd: &'static Server) {
    let long = "x".repeat(127);
    let mut heard = Vec::new();
    for name in [
        "it's \"x\"; --\\",
        "a/b",
        "a%2Fb",
        "ä€😀",
        &format!("{long}1"),
        &format!("{long}2"),
    ] {
        let (from, to) = (node(name, etcd.address()), node(name, etcd.address()));
        let subscription = subscribe(&to).await;
        heard.push((from, to, subscription));
    }
    for word in ["own", "last"] {
        for (from, _, _) in &heard {
            publish(from, word).await.unwrap();
        }
        // Nothing of the others' came in between.
        for (_, _, subscription) in &mut heard {
            assert_eq!(hear(subscription).await, word);
        }
    }
}
