//! Leases for caches of one's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use invalidation_core::{ErrorKind, MemoryLog, Node};
use support::on;

const LIMIT: Duration = Duration::from_secs(2);

/// P3, P4: a node without a log proves nothing, and gives no lease.
#[tokio::test(start_paused = true)]
async fn p4_a_node_without_a_log_gives_no_lease() {
    let node = Node::builder("test").start().await.unwrap();
    let refused = node.lease(LIMIT).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    let node = on(&MemoryLog::new()).start().await.unwrap();
    assert!(node.lease(LIMIT).unwrap().check().is_ok());
}
