//! A node's reader: a handle, a cursor, and the starts of its reads.

use std::time::Duration;

use invalidation_core::{
    Completeness, Cursor, Error, GapReason, LoggedEntry, Page, ReadRequest, ReadStart, Retry,
    SharedLog, Tick,
};

use crate::wait::{PATIENCE, within};

pub(super) struct Reader {
    pub(super) log: SharedLog,
    pub(super) cursor: Cursor,
    pub(super) max_entries: usize,
    pub(super) max_bytes: usize,
    pub(super) wait: Option<Duration>,
    reads: u64,
    /// The start of the series that is not complete yet.
    series: Option<ReadStart>,
}

/// What a read found, when the cursor was of use.
pub(super) struct Seen {
    pub(super) entries: Vec<LoggedEntry>,
    /// The start that it is complete as of, if it says so.
    pub(super) complete: Option<ReadStart>,
}

impl Reader {
    /// One that starts at the head.
    pub(super) async fn cold(log: SharedLog) -> Self {
        let cursor = head(&log).await;
        Self::at(log, cursor)
    }

    /// One that reads on from `cursor`.
    pub(super) const fn at(log: SharedLog, cursor: Cursor) -> Self {
        Self {
            log,
            cursor,
            max_entries: 1_000,
            max_bytes: 1 << 20,
            wait: None,
            reads: 0,
            series: None,
        }
    }

    /// With pages of at most so many entries.
    pub(super) const fn paged(mut self, max_entries: usize) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// The number of the read that comes next: it grows by one with each.
    pub(super) const fn next_number(&self) -> u64 {
        self.reads + 1
    }

    /// Reads one page and moves on. Asks again, as a node does, when the failure is temporary.
    ///
    /// Every page must keep to `max_entries`, and be complete as of no start but its own or its series'.
    pub(super) async fn page(&mut self) -> Result<Seen, GapReason> {
        let page = within("a read", PATIENCE, async {
            loop {
                match self.attempt().await {
                    Ok(page) => break page,
                    Err(e) if e.retry == Retry::Temporary => tokio::task::yield_now().await,
                    Err(e) => panic!("expected a read to succeed, and it failed: {e}"),
                }
            }
        });
        match page.await {
            Page::Entries {
                entries,
                next,
                complete,
            } => {
                let most = self.max_entries.max(1);
                assert!(
                    entries.len() <= most,
                    "expected a page of at most {most} entries, and found {}",
                    entries.len()
                );
                self.cursor = next;
                Ok(Seen {
                    entries,
                    complete: self.completed(complete),
                })
            }
            Page::Expired {
                next,
                as_of,
                reason,
            } => {
                self.completed(Completeness::AsOf(as_of));
                self.cursor = next;
                Err(reason)
            }
            other => panic!("unknown page: {other:?}"),
        }
    }

    /// Reads one page, as it is, and stays where it is.
    pub(super) async fn attempt(&mut self) -> Result<Page, Error> {
        self.reads += 1;
        // Numbers that are far apart, so that a start made up between two can be told.
        let started = ReadStart::new(Tick::from_nanos(self.reads * 1_000), self.reads);
        let series_started = *self.series.get_or_insert(started);
        let mut request = ReadRequest::new(&self.cursor, started);
        request.series_started = series_started;
        request.max_entries = self.max_entries;
        request.max_bytes = self.max_bytes;
        request.wait = self.wait;
        self.log.read(request).await
    }

    fn completed(&mut self, complete: Completeness) -> Option<ReadStart> {
        let Completeness::AsOf(as_of) = complete else {
            return None;
        };
        let series = self.series.take();
        let own = ReadStart::new(Tick::from_nanos(self.reads * 1_000), self.reads);
        assert!(
            as_of == own || Some(as_of) == series,
            "P4: expected a page to be complete as of its own start {own:?} or that of its series {series:?}, never \
             later, and found {as_of:?}"
        );
        Some(as_of)
    }

    /// Reads page by page until one is complete.
    pub(super) async fn catch_up(&mut self) -> Vec<LoggedEntry> {
        self.try_catch_up().await.unwrap_or_else(|reason| {
            panic!(
                "P1: expected to read on, since nothing was lost, and found that the cursor expired ({reason})"
            )
        })
    }

    /// Reads one page and moves on, where nothing was lost.
    pub(super) async fn goes_on(&mut self) -> Seen {
        self.page().await.unwrap_or_else(|reason| {
            panic!(
                "P1: expected to read on, since nothing was lost, and found that the cursor expired ({reason})"
            )
        })
    }

    /// Reads page by page until one is complete as of a start from here on, or the cursor is of no use. A series that
    /// was begun before may end complete without what came since then.
    pub(super) async fn try_catch_up(&mut self) -> Result<Vec<LoggedEntry>, GapReason> {
        let first = self.next_number();
        let mut all = Vec::new();
        let read = async {
            loop {
                let seen = self.page().await?;
                all.extend(seen.entries);
                if seen.complete.is_some_and(|as_of| as_of.number() >= first) {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        };
        within("a series of pages that ends complete", PATIENCE, read).await?;
        Ok(all)
    }

    /// Why the cursor is of no use any more; panics, naming `what` was lost, when the log reads on instead.
    pub(super) async fn expects_expired(&mut self, what: &str) -> GapReason {
        match self.page().await {
            Err(reason) => reason,
            Ok(seen) => panic!(
                "P10: {what}: expected the cursor to expire, and found that the log read on from it, {} entries, {}",
                seen.entries.len(),
                if seen.complete.is_some() {
                    "complete"
                } else {
                    "partial"
                },
            ),
        }
    }
}

/// A cursor at the head.
pub(super) async fn head(log: &SharedLog) -> Cursor {
    log.head()
        .await
        .expect("expected head to succeed, and it failed")
}
