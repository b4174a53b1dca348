//! What was committed in another database and is not in the log yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    pending::Pending,
    poller::timed,
    shared::Shared,
    supervise::{Task, pauses},
};
use crate::{
    error::{Error, ErrorKind},
    log::SharedLog,
    observe,
    words::{Entry, Invalidation},
};

/// How many writes wait for the log. One more, and everything is invalidated in the place of those that do not fit
/// (`P11`).
const CAPACITY: usize = 4_096;
/// How many of them one append takes.
const GROUP: usize = 256;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where writes are put that are to be logged in the background.
pub(super) struct Unlogged {
    writes: mpsc::Sender<Pending>,
    overflowed: Arc<AtomicBool>,
}

/// The end at which they arrive.
pub(super) struct Arrivals {
    writes: mpsc::Receiver<Pending>,
    overflowed: Arc<AtomicBool>,
}

pub(super) fn channel() -> (Unlogged, Arrivals) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let overflowed = Arc::new(AtomicBool::new(false));
    let unlogged = Unlogged {
        writes: sender,
        overflowed: overflowed.clone(),
    };
    let arrivals = Arrivals {
        writes: receiver,
        overflowed,
    };
    (unlogged, arrivals)
}

impl Unlogged {
    /// To be logged as soon as the log takes it.
    pub(super) fn push(&self, pending: Pending) {
        observe::unlogged();
        match self.writes.try_send(pending) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                observe::widened("unlogged");
                self.overflowed.store(true, Ordering::Release);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => observe::dropped("unlogged_at_end"),
        }
    }
}

/// Appends them until the log has taken them all.
pub(super) struct Logger {
    shared: Arc<Shared>,
    log: SharedLog,
    arrivals: Arrivals,
    draining: CancellationToken,
    /// In the order of their arrival. Kept here, so that a panic loses none.
    waiting: Vec<Pending>,
}

impl Logger {
    pub(super) const fn new(
        shared: Arc<Shared>,
        log: SharedLog,
        arrivals: Arrivals,
        draining: CancellationToken,
    ) -> Self {
        Self {
            shared,
            log,
            arrivals,
            draining,
            waiting: Vec::new(),
        }
    }

    /// Waits for something to do; `false` when the node drains and there is nothing.
    async fn wait(&mut self) -> bool {
        while let Ok(pending) = self.arrivals.writes.try_recv() {
            self.waiting.push(pending);
        }
        if !self.waiting.is_empty() || self.arrivals.overflowed.load(Ordering::Acquire) {
            return true;
        }
        tokio::select! {
            arrived = self.arrivals.writes.recv() => {
                self.waiting.extend(arrived);
                true
            }
            () = self.draining.cancelled() => false,
        }
    }

    /// One attempt for what waits.
    async fn attempt(&mut self) -> Result<(), Error> {
        if self.arrivals.overflowed.load(Ordering::Acquire) {
            // Taken back first: what overflows from now on is not covered by this entry.
            self.arrivals.overflowed.store(false, Ordering::Release);
            let everything = [Entry::new(Invalidation::Everything)];
            if let Err(error) = self.append(&everything).await {
                self.arrivals.overflowed.store(true, Ordering::Release);
                return Err(error);
            }
        }
        let mut group = self.waiting.len().min(GROUP);
        while group > 0 {
            let entries: Vec<_> = self.waiting[..group]
                .iter()
                .flat_map(|pending| pending.entries().iter().cloned())
                .collect();
            match self.append(&entries).await {
                Ok(mut positions) => {
                    for pending in self.waiting.drain(..group) {
                        let rest =
                            positions.split_off(pending.entries().len().min(positions.len()));
                        let own = std::mem::replace(&mut positions, rest);
                        drop(pending.logged(own, false));
                    }
                    group = self.waiting.len().min(GROUP);
                }
                // One of them may be what the log does not take: the others are not to wait for it.
                Err(error) if was_refused(&error) && group > 1 => group = 1,
                Err(error) if was_refused(&error) && self.waiting[0].widen() => {
                    observe::widened("refused_by_the_log");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<crate::Position>, Error> {
        let limit = self.shared.settings.append_timeout;
        timed(limit, "append", self.log.append(entries)).await
    }
}

/// For what the entries hold.
fn was_refused(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::TooLarge | ErrorKind::Invalid)
}

impl Task for Logger {
    const NAME: &'static str = "logger";

    async fn run(&mut self) {
        let mut failures = pauses(LONGEST_PAUSE);
        while self.wait().await {
            match self.attempt().await {
                Ok(()) => failures = pauses(LONGEST_PAUSE),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        waiting = self.waiting.len(),
                        "committed writes are not in the log yet; trying again"
                    );
                    tokio::time::sleep(failures.next().unwrap_or(LONGEST_PAUSE)).await;
                }
            }
        }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        while let Ok(pending) = self.arrivals.writes.try_recv() {
            self.waiting.push(pending);
        }
        for _ in &self.waiting {
            observe::dropped("unlogged_at_end");
        }
        if !self.waiting.is_empty() {
            tracing::error!(
                writes = self.waiting.len(),
                "the node ended before their invalidations were in the log: other nodes are bounded by their TTL"
            );
        }
    }
}
