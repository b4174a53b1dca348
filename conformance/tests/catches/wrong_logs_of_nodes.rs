//! Logs that lie to a node, so that an honest node behaves as a wrong one would.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use invalidation_core::{
    Completeness, Cursor, Entry, Error, InvalidationLog, LogCapabilities, LogIdentity, Page,
    Position, Purged, ReadRequest, SharedLog,
};

/// What it lies about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    PartialIsComplete,
    ExpiredIsEmpty,
    CursorTakenLate,
}

/// `log`, lying.
pub(crate) fn lying(log: SharedLog, lie: Lie) -> SharedLog {
    Arc::new(Lying {
        log,
        lie,
        was_read: AtomicBool::new(false),
    })
}

#[derive(Debug)]
struct Lying {
    log: SharedLog,
    lie: Lie,
    was_read: AtomicBool,
}

#[async_trait]
impl InvalidationLog for Lying {
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
        self.log.append(entries).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        let started = request.started;
        let mut page = self.log.read(request).await?;
        match (self.lie, &mut page) {
            (Lie::PartialIsComplete, Page::Entries { complete, .. }) => {
                *complete = Completeness::AsOf(started);
            }
            (Lie::ExpiredIsEmpty, Page::Expired { next, as_of, .. }) => {
                page = Page::Entries {
                    entries: Vec::new(),
                    next: next.clone(),
                    complete: Completeness::AsOf(*as_of),
                };
            }
            (Lie::CursorTakenLate, Page::Entries { entries, .. })
                if !self.was_read.swap(true, Ordering::SeqCst) =>
            {
                entries.clear();
            }
            _ => {}
        }
        Ok(page)
    }

    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.log.purge(retention).await
    }

    fn identity(&self) -> Option<LogIdentity> {
        self.log.identity()
    }

    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.log.joinable()
    }

    async fn close(&self) -> Result<(), Error> {
        self.log.close().await
    }
}
