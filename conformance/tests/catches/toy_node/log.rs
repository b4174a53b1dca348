//! What it reads from the log, and how fresh that makes it.

use std::{sync::Arc, time::Duration};

use invalidation_conformance::Freshness;
use invalidation_core::{Completeness, Cursor, Page, Payload, ReadRequest, ReadStart};
use tokio::time::{sleep, timeout};

use super::{
    Mistake, Shared,
    counting::{FLUSHES, GAPS, LAPSES},
};

impl Shared {
    pub(super) async fn poll(self: Arc<Self>, mut cursor: Cursor) {
        if self.makes(Mistake::NeverPolls) {
            return self.lease.send_modify(|lease| lease.failures = 2);
        }
        let period = self.setup.max_staleness / 2;
        let (mut series, mut lapsed) = (None, false);
        loop {
            let mut number = 0;
            self.lease.send_modify(|lease| {
                lease.begun += 1;
                number = lease.begun;
            });
            let started = ReadStart::new(self.setup.clock.now(), number);
            let series_started = *series.get_or_insert(started);
            let mut request = ReadRequest::new(&cursor, started);
            request.series_started = series_started;
            let limit = match self.mistake {
                Mistake::ReadsWithoutTimeout => Duration::MAX,
                _ => self.setup.read_timeout,
            };
            let held = match self.mistake {
                Mistake::ReadsUnderLock => Some(self.applying.lock().await),
                _ => None,
            };
            let read = timeout(limit, self.setup.log.read(request)).await;
            drop(held);
            match read {
                Ok(Ok(Page::Entries {
                    entries,
                    next,
                    complete,
                })) => {
                    for logged in entries {
                        match logged.payload {
                            Payload::Entry(entry) => self.apply_once(&entry, true).await,
                            Payload::Undecodable { .. } => {
                                if !self.makes(Mistake::SkipsUndecodable) {
                                    self.count(FLUSHES, "an entry that nobody can read");
                                    self.flush(true);
                                }
                            }
                        }
                    }
                    cursor = next;
                    let Completeness::AsOf(start) = complete else {
                        continue;
                    };
                    (series, lapsed) = (None, false);
                    self.renew(start);
                }
                Ok(Ok(Page::Expired {
                    next,
                    as_of,
                    reason,
                })) => {
                    self.count(GAPS, reason.as_str());
                    self.count(FLUSHES, reason.as_str());
                    self.flush(self.mistake != Mistake::FlushDoesNotFence);
                    cursor = next;
                    (series, lapsed) = (None, false);
                    self.renew(as_of);
                }
                _ => {
                    self.lease.send_modify(|lease| lease.failures += 1);
                    if !lapsed && !self.is_fresh(Freshness::Bounded) {
                        lapsed = true;
                        self.count(LAPSES, "the log cannot be read");
                    }
                    match self.mistake {
                        Mistake::DropsAllWithoutLog => self.flush(true),
                        Mistake::BacksOffForLong => sleep(3 * self.setup.poll_interval).await,
                        Mistake::StopsPollingAfterAFailure => {
                            return self.lease.send_modify(|lease| lease.failures = 2);
                        }
                        _ => {}
                    }
                }
            }
            let _ = timeout(period, self.wanted.notified()).await;
        }
    }

    fn renew(&self, start: ReadStart) {
        let as_of = match self.mistake {
            Mistake::LeaseFromTheEnd => self.setup.clock.now(),
            _ => start.tick(),
        };
        self.lease.send_modify(|lease| {
            lease.as_of = lease.as_of.max(as_of);
            lease.done = lease.done.max(start.number());
            lease.failures = 0;
        });
    }

    /// Whether cached values may be served; waits for the log where that helps.
    pub(super) async fn fresh(&self, freshness: Freshness) -> bool {
        let arrived = self.lease.borrow().begun;
        if self.is_fresh(freshness) {
            return true;
        }
        let serves_stale = self.makes(Mistake::ServesStale);
        if self.lease.borrow().closed || self.lease.borrow().failures > 1 {
            return serves_stale;
        }
        let least = match self.mistake {
            Mistake::SharesReadBegun => arrived,
            _ => arrived + 1,
        };
        let mut changes = self.lease.subscribe();
        self.wanted.notify_one();
        let renewed = async {
            loop {
                let lease = *changes.borrow_and_update();
                if lease.closed || lease.failures > 1 {
                    return false;
                }
                if lease.done >= least {
                    return true;
                }
                self.wanted.notify_one();
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        let renewed = timeout(2 * self.setup.read_timeout, renewed).await;
        renewed.unwrap_or(false) || serves_stale
    }

    pub(super) fn is_fresh(&self, freshness: Freshness) -> bool {
        let lease = *self.lease.borrow();
        let age = self.setup.clock.now().since(lease.as_of);
        !lease.closed
            && match freshness {
                Freshness::Eventual => true,
                Freshness::Bounded => age < self.setup.max_staleness,
                Freshness::Strict => {
                    self.makes(Mistake::StrictIsBounded) && age < self.setup.max_staleness
                }
            }
    }
}
