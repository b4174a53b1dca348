//! What was committed in another database and is not in the log yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    pending::Pending,
    poller::timed,
    shared::{Shared, proven},
    supervise::{Task, pauses},
};
use crate::{
    error::{Error, ErrorKind},
    log::SharedLog,
    observe,
    words::{Entry, Invalidation, Position, Scope},
};

/// How many writes wait for the log. One more, and everything is invalidated in the place of those that do not fit
/// (`P11`).
const CAPACITY: usize = 4_096;
/// How many of them one append takes.
const GROUP: usize = 256;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A write whose invalidation is to be logged.
pub(super) struct Write {
    pub(super) entries: Vec<Entry>,
    /// What stays quarantined until then.
    pub(super) held: Option<Pending>,
    /// Not before this.
    pub(super) due: Instant,
}

/// Where writes are put that are to be logged in the background.
pub(super) struct Unlogged {
    writes: mpsc::Sender<Write>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How many steps are open, each of which may still put something here.
    open: AtomicUsize,
    overflowed: AtomicBool,
    /// Whether the log did not take what was tried last.
    failing: AtomicBool,
    changed: Notify,
}

/// The end at which they arrive.
pub(super) struct Arrivals {
    writes: mpsc::Receiver<Write>,
    state: Arc<State>,
}

pub(super) fn channel() -> (Unlogged, Arrivals) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let state = Arc::<State>::default();
    let unlogged = Unlogged {
        writes: sender,
        state: state.clone(),
    };
    let arrivals = Arrivals {
        writes: receiver,
        state,
    };
    (unlogged, arrivals)
}

impl Unlogged {
    /// A step was opened: a node that ends waits for it.
    pub(super) fn opened(&self) {
        self.state.open.fetch_add(1, Ordering::SeqCst);
    }

    /// One is over; what it had to put here is here.
    pub(super) fn ended(&self) {
        self.state.open.fetch_sub(1, Ordering::SeqCst);
        self.state.changed.notify_one();
    }

    /// Whether the log does not take anything at the moment, so that nobody need wait to find out.
    pub(super) fn is_failing(&self) -> bool {
        self.state.failing.load(Ordering::Relaxed)
    }

    /// To be logged as soon as it is due and the log takes it.
    pub(super) fn push(&self, write: Write) {
        observe::unlogged();
        match self.writes.try_send(write) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                observe::widened("unlogged");
                self.state.overflowed.store(true, Ordering::Release);
                self.state.changed.notify_one();
            }
            Err(TrySendError::Closed(_)) => left_behind(1),
        }
    }
}

/// The node has ended.
fn left_behind(writes: usize) {
    for _ in 0..writes {
        observe::dropped("unlogged_at_end");
    }
    tracing::error!(
        writes,
        "the node ended before their invalidations were in the log: other nodes are bounded by their TTL"
    );
}

impl Write {
    /// Names whole caches in the place of what the log does not take (`P11`); `false` when it does already.
    fn widen(&mut self) -> bool {
        let narrow = |entry: &Entry| match &entry.invalidation {
            Invalidation::Cache { scope, .. } => *scope != Scope::All,
            Invalidation::Everything => false,
        };
        if !self.entries.iter().any(narrow) {
            return false;
        }
        let mut wider: Vec<Invalidation> = Vec::new();
        for entry in &self.entries {
            let invalidation = match &entry.invalidation {
                Invalidation::Everything => Invalidation::Everything,
                Invalidation::Cache { cache, .. } => Invalidation::Cache {
                    cache: cache.clone(),
                    scope: Scope::All,
                },
            };
            if !wider.contains(&invalidation) {
                wider.push(invalidation);
            }
        }
        self.entries = wider.into_iter().map(Entry::new).collect();
        true
    }
}

/// Appends them until the log has taken them all.
pub(super) struct Logger {
    shared: Arc<Shared>,
    log: SharedLog,
    arrivals: Arrivals,
    draining: CancellationToken,
    /// In the order of their arrival, and no more than [`CAPACITY`]. Kept here, so that a panic loses none.
    waiting: Vec<Write>,
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

    /// Takes what has arrived, as far as there is room.
    fn collect(&mut self) {
        while self.waiting.len() < CAPACITY
            && let Ok(write) = self.arrivals.writes.try_recv()
        {
            self.waiting.push(write);
        }
    }

    /// Waits for something to do; `false` when the node drains and nothing can come any more.
    async fn wait(&mut self) -> bool {
        loop {
            let draining = self.draining.is_cancelled();
            // Before what has arrived is looked at: a step puts its write here before it is over.
            let open = self.arrivals.state.open.load(Ordering::SeqCst);
            self.collect();
            let due = self.waiting.iter().map(|write| write.due).min();
            if self.arrivals.state.overflowed.load(Ordering::Acquire)
                || due.is_some_and(|due| draining || due <= Instant::now())
            {
                return true;
            }
            if draining && open == 0 {
                return false;
            }
            let room = self.waiting.len() < CAPACITY;
            tokio::select! {
                biased;
                arrived = self.arrivals.writes.recv(), if room => self.waiting.extend(arrived),
                () = self.arrivals.state.changed.notified() => {}
                () = self.draining.cancelled(), if !draining => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// One attempt for what is due.
    async fn attempt(&mut self) -> Result<(), Error> {
        let overflowed = self.arrivals.state.clone();
        if overflowed.overflowed.swap(false, Ordering::AcqRel) {
            // Taken back first: what overflows from now on is not covered by this entry.
            let everything = [Entry::new(Invalidation::Everything)];
            if let Err(error) = self.append(&everything).await {
                overflowed.overflowed.store(true, Ordering::Release);
                return Err(error);
            }
        }
        let (now, draining) = (Instant::now(), self.draining.is_cancelled());
        let is_due = |write: &Write| draining || write.due <= now;
        self.waiting.sort_by_key(|write| !is_due(write));
        let mut left = self.waiting.iter().filter(|write| is_due(write)).count();
        let mut group = left.min(GROUP);
        while group > 0 {
            let entries: Vec<_> = self.waiting[..group]
                .iter()
                .flat_map(|write| write.entries.iter().cloned())
                .collect();
            match self.append(&entries).await {
                Ok(mut positions) => {
                    let identity = self.log.identity();
                    for write in self.waiting.drain(..group) {
                        let rest = positions.split_off(write.entries.len().min(positions.len()));
                        let own = std::mem::replace(&mut positions, rest);
                        let standing = proven(&own, identity.clone());
                        drop(self.shared.spread(&write.entries, own, &standing, false));
                        if let Some(held) = write.held {
                            held.release();
                        }
                    }
                    left -= group;
                    group = left.min(GROUP);
                }
                // One of them may be what the log does not take: the others are not to wait for it.
                Err(error) if was_refused(&error) && group > 1 => group = 1,
                Err(error) if error.kind == ErrorKind::TooLarge && self.waiting[0].widen() => {
                    observe::widened("refused_by_the_log");
                }
                Err(error) => {
                    if was_refused(&error) {
                        self.waiting.rotate_left(1);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
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
            let attempted = self.attempt().await;
            let failing = &self.arrivals.state.failing;
            // What is refused for itself says nothing of the others.
            let is_away = |error: &Error| !was_refused(error);
            failing.store(attempted.as_ref().is_err_and(is_away), Ordering::Relaxed);
            match attempted {
                Ok(()) => failures = pauses(LONGEST_PAUSE),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        waiting = self.waiting.len(),
                        "committed writes are not in the log yet; trying again"
                    );
                    sleep(failures.next().unwrap_or(LONGEST_PAUSE)).await;
                }
            }
        }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.arrivals.writes.close();
        let mut writes = self.waiting.len();
        while self.arrivals.writes.try_recv().is_ok() {
            writes += 1;
        }
        writes += usize::from(self.arrivals.state.overflowed.load(Ordering::Acquire));
        if writes > 0 {
            left_behind(writes);
        }
    }
}
