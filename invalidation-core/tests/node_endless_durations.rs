//! Durations that mean *for ever*.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use invalidation_core::{Cache, ErrorKind, MemoryHub, MemoryLog, Node, NodeSettings};
use support::{Table, on, read, via};

const FOR_EVER: Duration = Duration::MAX;

/// No setting of a cache is too long for a clock.
#[tokio::test(start_paused = true)]
async fn a_cache_may_wait_for_ever() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    for jitter in [0.0, f64::MIN_POSITIVE, 1.0] {
        let cache: Cache<i64, u64> = node
            .cache("users")
            .ttl(FOR_EVER)
            .ttl_jitter(jitter)
            .max_concurrent_loads(1)
            .load_queue_timeout(FOR_EVER)
            .load_timeout(FOR_EVER)
            .build()
            .unwrap();
        table.write(1, 1);
        assert_eq!(read(&cache, &table, 1).await, 1);
    }
    let cache: Cache<i64, u64> = node.cache("lagging").replica_lag(FOR_EVER).build().unwrap();
    assert_eq!(read(&cache, &table, 1).await, 1);
}

/// No setting of a node is too long for a clock, or it is refused.
#[tokio::test(start_paused = true)]
async fn a_node_may_wait_for_ever_or_says_that_it_may_not() {
    let (log, hub) = (MemoryLog::new(), MemoryHub::new());
    let mut settings = NodeSettings::default();
    settings.append_timeout = FOR_EVER;
    settings.start_timeout = FOR_EVER;
    settings.publish_timeout = FOR_EVER;
    settings.retention = FOR_EVER;
    let node = on(&log)
        .settings(settings.clone())
        .transport(via(&hub))
        .start()
        .await
        .unwrap();
    let published = node.invalidate_everything().await.unwrap();
    assert!(published.published().await.iter().all(|l| l.is_complete()));
    node.shutdown(FOR_EVER).await.unwrap();
    settings.poll_interval = FOR_EVER;
    let refused = Node::builder("test").settings(settings).start().await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid);
}
