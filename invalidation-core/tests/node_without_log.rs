//! Nodes without a log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use invalidation_core::{MemoryHub, Node, NodeClock};
use support::{FollowingClock, Table, eventually, holds, read, users, via};

/// P10: a peer whose only frame was lost, and which then stopped politely, told of it with its farewell.
#[tokio::test(start_paused = true)]
async fn p10_a_farewell_tells_of_what_was_lost() {
    let (hub, table) = (MemoryHub::new(), Table::default());
    let (to_a, to_b) = (via(&hub), via(&hub));
    let start = async |transport| {
        Node::builder("test")
            .transport(transport)
            .clock(NodeClock::Custom(FollowingClock::new()))
            .start()
            .await
            .unwrap()
    };
    let b = start(to_b.clone()).await;
    let at_b = users(&b);
    to_b.faults().swallow(true);
    let a = start(to_a).await;
    let at_a = users(&a);
    read(&at_b, &table, 1).await;
    at_a.invalidate(&1).await.unwrap().published().await;
    assert!(holds(&at_b, 1), "its heartbeats and its frame were lost");
    to_b.faults().swallow(false);
    a.shutdown(Duration::from_secs(5)).await.unwrap();
    eventually("flushed", async || !holds(&at_b, 1)).await;
}
