//! The safety net: reads the log, applies it, renews the lease.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    shared::Shared,
    supervise::{Task, pauses},
};
use crate::{
    error::{Error, ErrorKind},
    log::{Completeness, Page, ReadRequest, ReadStart, SharedLog},
    observe,
    words::{Cursor, GapReason},
};

/// Owns the cursor. It moves only after every target applied the page (`P9`).
pub(super) struct Poller {
    shared: Arc<Shared>,
    log: SharedLog,
    /// `None` until the log was reached for the first time: the node started in bypass.
    cursor: Option<Cursor>,
    /// The first read after the last complete one.
    series: Option<ReadStart>,
    /// Halved by each time-out, so that a slow log still makes progress.
    page_entries: usize,
}

impl Task for Poller {
    const NAME: &'static str = "poller";

    async fn run(&mut self) {
        let mut failing = None;
        let mut fresh = true;
        loop {
            match self.catch_up().await {
                Ok(()) => {
                    failing = None;
                    fresh = true;
                }
                Err(error) => {
                    self.shared.lease.read_failed();
                    observe::log_read("failed");
                    if fresh {
                        tracing::warn!(%error, "the invalidation log could not be read");
                    }
                    fresh = false;
                }
            }
            self.observe();
            if fresh {
                self.pause().await;
            } else {
                // Back-off is never longer than the period, and no reader shortens it: a log that is down is
                // not hammered at the rate of reads (P20, P16).
                let period = self.shared.period();
                let pauses = failing.get_or_insert_with(|| pauses(period));
                tokio::time::sleep(pauses.next().unwrap_or(period)).await;
            }
        }
    }
}

impl Poller {
    pub(super) fn new(shared: Arc<Shared>, log: SharedLog, cursor: Option<Cursor>) -> Self {
        let page_entries = shared.settings.page_entries;
        Self {
            shared,
            log,
            cursor,
            series: None,
            page_entries,
        }
    }

    /// Waits for the period, a nudge, or a reader that needs freshness.
    async fn pause(&self) {
        if self.shared.lease.wants_read() {
            return;
        }
        let period = self.shared.period().mul_f64(rand::random_range(0.8..1.2));
        // Either way it is time to read.
        let _ = timeout(period, self.shared.lease.nudged()).await;
    }

    /// Reads on until a read was complete.
    async fn catch_up(&mut self) -> Result<(), Error> {
        if self.cursor.is_none() {
            self.first_contact().await?;
        }
        for _ in 0..self.shared.settings.backlog_pages {
            if self.read_page().await? {
                return Ok(());
            }
        }
        self.flush_backlog().await
    }

    /// The log is reached for the first time, late: whatever was missed is covered by a flush (`P14`).
    async fn first_contact(&mut self) -> Result<(), Error> {
        timed(
            self.shared.settings.start_timeout,
            "install",
            self.log.install(),
        )
        .await?;
        let started = self.shared.lease.begin_read();
        let head = timed(self.shared.settings.read_timeout, "head", self.log.head()).await?;
        self.shared.applier.flush("late_start");
        self.cursor = Some(head);
        self.shared.lease.renew(started);
        Ok(())
    }

    /// Reads and applies one page; `true` when everything up to its start, or its series', is applied.
    async fn read_page(&mut self) -> Result<bool, Error> {
        let Some(after) = &self.cursor else {
            return Ok(false);
        };
        let started = self.shared.lease.begin_read();
        let series_started = *self.series.get_or_insert(started);
        let mut request = ReadRequest::new(after, started);
        request.series_started = series_started;
        request.max_entries = self.page_entries;
        let page = match timed(
            self.shared.settings.read_timeout,
            "read",
            self.log.read(request),
        )
        .await
        {
            Ok(page) => page,
            Err(error) => {
                if error.kind == ErrorKind::TimedOut {
                    self.page_entries = (self.page_entries / 2).max(1);
                }
                return Err(error);
            }
        };
        self.page_entries = (self.page_entries * 2).min(self.shared.settings.page_entries);
        match page {
            Page::Entries {
                entries,
                next,
                complete,
            } => {
                self.shared.applier.apply_page(&entries);
                self.cursor = Some(next);
                match complete {
                    Completeness::Partial => {
                        observe::log_read("partial");
                        Ok(false)
                    }
                    Completeness::AsOf(start) => {
                        observe::log_read("complete");
                        self.complete(honest(start, started, series_started));
                        Ok(true)
                    }
                }
            }
            Page::Expired {
                next,
                as_of,
                reason,
            } => {
                observe::log_read("expired");
                observe::gap("log", reason);
                tracing::warn!(%reason, "the cursor expired; every cache is flushed");
                self.shared.applier.flush_for_gap(reason);
                self.cursor = Some(next);
                self.complete(honest(as_of, started, series_started));
                Ok(true)
            }
        }
    }

    /// More waits than is worth reading. The head first, *then* the flush, then the cursor: flushing first
    /// would lose what commits in between (`P1`).
    async fn flush_backlog(&mut self) -> Result<(), Error> {
        let started = self.shared.lease.begin_read();
        let head = timed(self.shared.settings.read_timeout, "head", self.log.head()).await?;
        observe::gap("log", GapReason::Backlog);
        self.shared.applier.flush_for_gap(GapReason::Backlog);
        self.cursor = Some(head);
        self.complete(started);
        Ok(())
    }

    /// Renews to the start of the statement that proved completeness, never later (`P4`).
    fn complete(&mut self, start: ReadStart) {
        self.series = None;
        self.shared.lease.renew(start);
    }

    /// The age of the last complete read, and whether it has become too old for somebody (`P19`).
    fn observe(&self) {
        let Some(age) = self.shared.lease.age() else {
            return;
        };
        observe::log_age(age);
        let bound = self
            .shared
            .applier
            .registry
            .tightest()
            .unwrap_or(2 * self.shared.settings.poll_interval);
        self.shared.lease_lapse(age > bound);
    }
}

/// A log hands back what it was given. It may claim less, which is believed, but not more: for anything else the
/// earlier start stands (`P4`).
fn honest(claimed: ReadStart, started: ReadStart, series_started: ReadStart) -> ReadStart {
    if claimed == started {
        return started;
    }
    ReadStart::new(
        claimed.tick().min(series_started.tick()),
        claimed.number().min(series_started.number()),
    )
}

/// A call to the log under a time limit.
pub(super) async fn timed<T>(
    limit: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => {
            observe::log_read("timed_out");
            let message = format!(
                "no answer within {limit:?}: is the log's database overloaded or unreachable?"
            );
            Err(Error::new(ErrorKind::TimedOut, "log", operation, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Tick;

    /// P4: what a log claims is never taken for more, nor for more than it can know.
    #[test]
    fn p4_a_claim_is_never_stretched() {
        let at = |number| ReadStart::new(Tick::from_nanos(100 * number), number);
        let (series, started) = (at(5), at(7));
        assert_eq!(honest(started, started, series), started);
        assert_eq!(honest(series, started, series), series);
        assert_eq!(honest(at(3), started, series), at(3), "it claims less");
        assert_eq!(honest(at(9), started, series), series, "it claims more");
        let odd = ReadStart::new(Tick::from_nanos(900), 3);
        assert_eq!(
            honest(odd, started, series),
            ReadStart::new(series.tick(), 3)
        );
    }
}
