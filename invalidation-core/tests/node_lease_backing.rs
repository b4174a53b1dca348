//! Leases for caches of one's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{sync::Arc, time::Duration};

use invalidation_core::{BoxError, ErrorKind, InvalidationTarget, MemoryLog, Node, Scope, Stale};
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

/// Does nothing.
struct Idle;

impl InvalidationTarget for Idle {
    fn apply(&self, _scope: &Scope) -> Result<(), BoxError> {
        Ok(())
    }

    fn flush(&self) {}
}

/// P3: a lease ends with the attachment it came from, whoever still has a clone of it.
#[tokio::test]
async fn p3_a_lease_does_not_outlive_its_attachment() {
    let node = on(&MemoryLog::new()).start().await.unwrap();
    let attached = node.attach("idle", Arc::new(Idle), Some(LIMIT)).unwrap();
    let lease = attached.lease().clone();
    assert!(lease.check().is_ok());
    drop(attached);
    assert_eq!(lease.check(), Err(Stale::Detached));
    assert_eq!(lease.wait().await, Err(Stale::Detached));
}
