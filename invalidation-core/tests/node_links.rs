//! Links that are lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use invalidation_core::{MemoryHub, Node};
use support::via;

/// P10: an attempt to subscribe that hangs is given up and made again: what it hangs on may be gone for good.
#[tokio::test(start_paused = true)]
async fn p10_an_attempt_to_subscribe_that_hangs_is_made_again() {
    let hub = MemoryHub::new();
    let link = via(&hub);
    let builder = Node::builder("test").transport(link.clone());
    let _node = builder.start().await.unwrap();
    let faults = link.faults();
    faults.cut();
    faults.heal();
    faults.subscribes().hang();
    let begun = faults.subscribes().begun();
    let again = faults.subscribes().begun_at_least(begun + 3);
    let patience = Duration::from_secs(120);
    tokio::time::timeout(patience, again).await.expect("again");
}
