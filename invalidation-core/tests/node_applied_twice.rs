//! Entries that come by two ways.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use invalidation_core::{
    Cursor, Entry, Error, InvalidationLog, LogCapabilities, MemoryLog, Node, NodeClock, Page,
    Position, Purged, ReadRequest,
};
use support::{FollowingClock, Table, eventually, holds, read, users};
use tokio::sync::Semaphore;

/// A log that keeps the answer to an append back.
#[derive(Debug)]
struct SlowToAnswer {
    log: MemoryLog,
    answers: Arc<Semaphore>,
}

#[async_trait]
impl InvalidationLog for SlowToAnswer {
    fn capabilities(&self) -> LogCapabilities {
        self.log.capabilities()
    }

    async fn install(&self) -> Result<(), Error> {
        self.log.install().await
    }

    async fn head(&self) -> Result<Cursor, Error> {
        self.log.head().await
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        let positions = self.log.append(entries).await;
        self.answers.acquire().await.unwrap().forget();
        positions
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        self.log.read(request).await
    }

    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.log.purge(retention).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.log.close().await
    }
}

/// P8: an own entry that the log told first costs no second miss.
#[tokio::test(start_paused = true)]
async fn p8_an_own_entry_that_was_read_already_is_not_applied_again() {
    let (answers, table) = (Arc::new(Semaphore::new(0)), Table::default());
    let log = SlowToAnswer {
        log: MemoryLog::new(),
        answers: answers.clone(),
    };
    let node = Node::builder("test")
        .log(log)
        .clock(NodeClock::Custom(FollowingClock::new()));
    let node = node.start().await.unwrap();
    let cache = users(&node);
    read(&cache, &table, 1).await;
    let writer = tokio::spawn({
        let cache = cache.clone();
        async move { cache.invalidate(&1).await }
    });
    eventually("the log told it", async || !holds(&cache, 1)).await;
    read(&cache, &table, 1).await;
    answers.add_permits(1);
    writer.await.unwrap().unwrap();
    assert!(holds(&cache, 1));
}
