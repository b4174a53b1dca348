//! How a node ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{sync::Arc, time::Duration};

use invalidation_core::{
    CacheInvalidationTransport, Delivery, Error, ErrorKind, MemoryHub, MemoryLog, MemoryTransport,
    Node, Outgoing, Subscription, TransportCapabilities,
};
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

/// A transport that cannot be closed.
#[derive(Debug)]
struct Stuck(MemoryTransport);

#[async_trait::async_trait]
impl CacheInvalidationTransport for Stuck {
    fn capabilities(&self) -> TransportCapabilities {
        self.0.capabilities()
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.0.subscribe().await
    }

    async fn publish(&self, frame: Outgoing) -> Result<Delivery, Error> {
        self.0.publish(frame).await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.0.probe().await
    }

    async fn close(&self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Other, "stuck", "close", "as told"))
    }
}

/// A backend that cannot be closed is told of, and the others are closed all the same.
#[tokio::test(start_paused = true)]
async fn shutdown_closes_the_rest_when_one_backend_fails_to() {
    let (log, hub) = (MemoryLog::new(), MemoryHub::new());
    let (mine, other) = (log.connect(), via(&hub));
    let builder = Node::builder("test").shared_log(Arc::new(mine));
    let node = builder
        .transport(Stuck(via(&hub)))
        .transport(other.clone())
        .start()
        .await
        .unwrap();
    let error = node.shutdown(SOON).await.unwrap_err();
    assert_eq!(error.message, "as told");
    let closed = other.probe().await.unwrap_err();
    assert_eq!(closed.kind, ErrorKind::Closed);
}
