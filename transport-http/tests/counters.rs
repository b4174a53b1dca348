//! `P19`: refusals, resyncs, collapses, overflows and breaker changes are counted, with their reason.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;

use invalidation_core::{CacheInvalidationTransport, GapReason};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::{TestNode, builder, next_gap, post};

/// Runs a scene on this thread, and gives its counters.
fn count(scene: impl AsyncFnOnce()) -> BTreeMap<String, u64> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(scene()));
    counters(&snapshotter)
}

/// By name and label values, without what all names begin with.
fn counters(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let snapshot = snapshotter.snapshot().into_vec();
    let counters = snapshot.into_iter().filter_map(|(key, _, _, value)| {
        let labels = key.key().labels().map(|label| label.value());
        let name = key.key().name().strip_prefix("cache_invalidation_http_")?;
        let name = [name].into_iter().chain(labels).collect::<Vec<_>>();
        match value {
            DebugValue::Counter(count) => Some((name.join(" "), count)),
            _ => None,
        }
    });
    counters.collect()
}

/// Each refused request is counted under its own reason.
#[test]
fn refusals_are_counted_by_reason() {
    let counters = count(async || {
        let b = TestNode::start(builder().body_cap(1_024));
        post(b.address, b"").await;
        post(b.address, b"\x07").await;
        post(b.address, b"\x07").await;
        post(b.address, &[1; 1_025]).await;
    });
    let expected = [
        ("rejected_total oversized", 1),
        ("rejected_total truncated", 1),
        ("rejected_total unknown_version", 2),
    ];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(counters, BTreeMap::from(expected));
}

/// A peer that goes away and comes back leaves its marks: the failed outcome, the breaker's changes, and the
/// resync, on both sides.
#[test]
fn an_outage_is_counted() {
    let counters = count(async || {
        let b = TestNode::start(builder());
        let a = TestNode::start(builder().peer(b.at()));
        assert!(a.publish_one("lost").await.is_err());
        let mut at_b = b.subscribe().await;
        assert_eq!(next_gap(&mut at_b).await, GapReason::Resync);
        a.publish_until_received("seen").await;
        a.transport.close().await.unwrap();
    });
    for name in [
        "rejected_total not_subscribed",
        "peer_outcomes_total unavailable",
        "peer_outcomes_total received",
        "breaker_changes_total open",
        "breaker_changes_total closed",
        "resyncs_total sent",
        "resyncs_total received",
    ] {
        assert!(counters.contains_key(name), "{name}: {counters:?}");
    }
}

/// A full subscription is counted where it overflows.
#[test]
fn overflows_are_counted() {
    let counters = count(async || {
        let b = TestNode::start(builder().subscription_frames(1));
        let a = TestNode::start(builder().peer(b.at()));
        let _at_b = b.subscribe().await;
        a.publish_one("1").await.unwrap();
        a.publish_one("2").await.unwrap_err();
    });
    assert_eq!(counters.get("subscription_overflows_total"), Some(&1));
    assert_eq!(counters.get("peer_outcomes_total overflow"), Some(&1));
}
