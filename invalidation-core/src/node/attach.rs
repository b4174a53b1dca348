//! Caches of other libraries.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::shared::Shared;
use crate::{
    error::BoxError,
    lease::{Lease, TargetState},
    observe,
    target::InvalidationTarget,
    words::{CacheName, Scope},
};

/// How long the node waits for an attached target before it goes on without it.
const BOUND: Duration = Duration::from_millis(100);

/// A cache of another library, attached to a node. Dropping it detaches the cache.
#[must_use = "dropping it detaches the cache"]
pub struct Attachment {
    shared: Arc<Shared>,
    name: CacheName,
    lease: Lease,
    state: Arc<TargetState>,
}

impl Attachment {
    pub(super) const fn new(
        shared: Arc<Shared>,
        name: CacheName,
        lease: Lease,
        state: Arc<TargetState>,
    ) -> Self {
        Self {
            shared,
            name,
            lease,
            state,
        }
    }

    /// The right to serve values of this cache: check it before each lookup to have `P3`. Clones of it end
    /// with the attachment.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Its name.
    pub const fn name(&self) -> &CacheName {
        &self.name
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // Clones of the lease may live on, and this target hears of nothing any more (`P3`).
        self.state.detach();
        self.shared.applier.forget(&self.name);
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("name", &self.name)
            .field("lease", &self.lease)
            .finish()
    }
}

/// Applies to a foreign target on a thread of its own, so that one that hangs blocks nobody for longer than
/// [`BOUND`] and nobody else at all (`P9`). While it hangs its lease is suspended, and what comes
/// meanwhile collapses to one flush.
pub(super) struct Bounded {
    work: Arc<Work>,
}

struct Work {
    name: CacheName,
    target: Arc<dyn InvalidationTarget>,
    /// Guards the jobs; held for moments.
    jobs: Mutex<Jobs>,
    arrived: Condvar,
    state: Arc<TargetState>,
}

#[derive(Default)]
struct Jobs {
    queue: VecDeque<Job>,
    /// Take this instead of the queue.
    flush: bool,
    ended: bool,
}

struct Job {
    what: What,
    done: SyncSender<()>,
}

enum What {
    Apply(Scope),
    Flush,
    Quarantine(Scope),
    Release(Scope),
    Maintain,
}

impl Bounded {
    /// Starts the thread. `state` says so while the target lags.
    pub(super) fn start(
        name: CacheName,
        target: Arc<dyn InvalidationTarget>,
        state: Arc<TargetState>,
    ) -> std::io::Result<Self> {
        let work = Arc::new(Work {
            name,
            target,
            jobs: Mutex::default(),
            arrived: Condvar::new(),
            state,
        });
        let worker = work.clone();
        std::thread::Builder::new()
            .name(format!("apply-{}", work.name))
            .spawn(move || worker.run())?;
        Ok(Self { work })
    }

    /// Hands a job over and waits for it, at most [`BOUND`].
    fn run(&self, what: What) {
        let Some(done) = self.work.hand_over(what) else {
            return;
        };
        if done.recv_timeout(BOUND) == Err(RecvTimeoutError::Timeout) {
            self.work.fall_behind();
        }
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        self.work.jobs.lock().ended = true;
        self.work.arrived.notify_one();
    }
}

impl InvalidationTarget for Bounded {
    fn apply(&self, scope: &Scope) -> Result<(), BoxError> {
        self.run(What::Apply(scope.clone()));
        Ok(())
    }

    fn flush(&self) {
        self.run(What::Flush);
    }

    fn quarantine(&self, scope: &Scope) {
        self.run(What::Quarantine(scope.clone()));
    }

    fn release(&self, scope: &Scope) {
        self.run(What::Release(scope.clone()));
    }

    fn maintain(&self) {
        self.work.maintain();
    }
}

impl Work {
    /// `None` when the target lags: the job is covered by the flush that it will get.
    fn hand_over(&self, what: What) -> Option<Receiver<()>> {
        let mut jobs = self.jobs.lock();
        let keeps_count = matches!(what, What::Quarantine(_) | What::Release(_));
        let behind = self.state.is_behind();
        let (done, heard) = sync_channel(1);
        jobs.flush |= behind;
        if behind && !keeps_count {
            observe::widened("target_behind");
        } else {
            // Quarantines are counted, so they never collapse; there is one for each open transaction.
            jobs.queue.push_back(Job { what, done });
        }
        self.arrived.notify_one();
        (!behind).then_some(heard)
    }

    /// Nobody waits for it: a sweep that takes its time misses no invalidation.
    fn maintain(&self) {
        let mut jobs = self.jobs.lock();
        if self.state.is_behind() {
            jobs.flush = true; // Another try, for a target that could not be flushed.
        } else if jobs.queue.is_empty() {
            let (done, _) = sync_channel(1);
            jobs.queue.push_back(Job {
                what: What::Maintain,
                done,
            });
        }
        self.arrived.notify_one();
    }

    fn fall_behind(&self) {
        let mut jobs = self.jobs.lock();
        self.state.set_behind(true);
        jobs.flush = true;
        drop(jobs);
        // It may have answered just now, and wait for work.
        self.arrived.notify_one();
        observe::target_failed(&self.name, "hang");
    }

    fn run(&self) {
        loop {
            let job = {
                let mut jobs = self.jobs.lock();
                loop {
                    // What was handed over is done also after the end: a release that is lost would leave the
                    // target's own fence shut.
                    if let Some(job) = jobs.queue.pop_front() {
                        break Some(job);
                    }
                    if jobs.ended {
                        return;
                    }
                    if jobs.flush {
                        jobs.flush = false;
                        break None;
                    }
                    self.arrived.wait(&mut jobs);
                }
            };
            match job {
                Some(job) => self.work(job),
                None => self.catch_up(),
            }
        }
    }

    fn work(&self, job: Job) {
        let failed = match catch_unwind(AssertUnwindSafe(|| self.act(&job.what))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::error!(cache = %self.name, %error, "an attached target failed");
                Some("error")
            }
            Err(_) => Some("panic"),
        };
        if let Some(reason) = failed {
            observe::target_failed(&self.name, reason);
            self.flush();
        }
        // Whoever waited may have given up.
        let _ = job.done.try_send(());
    }

    fn act(&self, what: &What) -> Result<(), BoxError> {
        match what {
            What::Apply(scope) => return self.target.apply(scope),
            What::Flush => self.target.flush(),
            What::Quarantine(scope) => self.target.quarantine(scope),
            What::Release(scope) => self.target.release(scope),
            What::Maintain => self.target.maintain(),
        }
        Ok(())
    }

    /// Flushes; a target that cannot even be flushed stays suspended, and is tried again with the next
    /// invalidation.
    fn flush(&self) -> bool {
        let flushed = catch_unwind(AssertUnwindSafe(|| self.target.flush())).is_ok();
        if !flushed {
            observe::target_failed(&self.name, "flush_panic");
            self.state.set_behind(true);
        }
        flushed
    }

    /// The target answers again: one flush covers all that was not handed over.
    fn catch_up(&self) {
        if self.flush() {
            let jobs = self.jobs.lock();
            // Something came while it was flushed: once more.
            if !jobs.flush {
                self.state.set_behind(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Does nothing.
    struct Idle;

    impl InvalidationTarget for Idle {
        fn apply(&self, _scope: &Scope) -> Result<(), BoxError> {
            Ok(())
        }

        fn flush(&self) {}
    }

    /// Sweeps until it is let go.
    #[derive(Default)]
    struct Sweeping(Mutex<()>);

    impl InvalidationTarget for Sweeping {
        fn apply(&self, _scope: &Scope) -> Result<(), BoxError> {
            Ok(())
        }

        fn flush(&self) {}

        fn maintain(&self) {
            drop(self.0.lock());
        }
    }

    /// P9: a target that takes its time to sweep missed nothing: it keeps its lease and what it holds.
    #[test]
    fn p9_a_long_sweep_is_no_failure() {
        let (target, state) = (Arc::new(Sweeping::default()), Arc::default());
        let name = CacheName::new("sweeping").expect("a good name");
        let bounded = Bounded::start(name, target.clone(), Arc::clone(&state)).expect("a thread");
        let sweeping = target.0.lock();
        for _ in 0..10 {
            bounded.maintain();
        }
        assert!(!state.is_behind());
        assert!(
            bounded.work.jobs.lock().queue.len() <= 1,
            "and it is asked once"
        );
        drop(sweeping);
    }

    /// P20: a target that answers at the very moment it is given up catches up at once, and not with the next
    /// invalidation.
    #[test]
    fn p20_a_target_that_answers_just_too_late_catches_up_at_once() {
        let state = Arc::new(TargetState::default());
        let name = CacheName::new("idle").expect("a good name");
        let bounded = Bounded::start(name, Arc::new(Idle), state.clone()).expect("a thread");
        bounded.flush(); // Answered, and waiting for work.
        bounded.work.fall_behind();
        let deadline = Instant::now() + Duration::from_secs(20);
        while state.is_behind() {
            assert!(Instant::now() < deadline, "it stays behind");
            std::thread::yield_now();
        }
    }
}
