//! How a node ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::time::Duration;

use invalidation_core::{MemoryHub, MemoryLog};
use support::{on, users, via};

const SOON: Duration = Duration::from_secs(60);

/// P16: who waits for what was published after the end of its node hears that nothing was.
#[tokio::test(start_paused = true)]
async fn p16_nobody_waits_for_a_publisher_that_ended() {
    for polite in [true, false] {
        let (log, hub) = (MemoryLog::new(), MemoryHub::new());
        let node = on(&log).transport(via(&hub)).start().await.unwrap();
        let cache = users(&node);
        let mut tx = log.begin();
        let pending = cache.invalidate_in(&mut tx, [&1]).await.unwrap();
        if polite {
            node.shutdown(SOON).await.unwrap();
        }
        drop(node);
        tokio::task::yield_now().await;
        let receipt = pending.commit(tx.commit()).await.unwrap();
        let published = tokio::time::timeout(SOON, receipt.published());
        let published = published.await.expect("an answer");
        assert!(published.iter().all(|lane| lane.frames.is_empty()));
    }
}
