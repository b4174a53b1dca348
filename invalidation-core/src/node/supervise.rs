//! Every task of a node has an owner that stops it and starts it again when it panics.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use backon::BackoffBuilder;
use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::observe;

/// Starts and ends the tasks of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    /// Those that end by themselves when the node drains.
    draining: TaskTracker,
    cancel: CancellationToken,
}

/// A task with its state, which outlives a panic: a cursor is not lost with the task that kept it.
pub(super) trait Task: Send + 'static {
    const NAME: &'static str;

    /// Runs until its work is done. It is dropped at an `.await` when the node ends.
    fn run(&mut self) -> impl Future<Output = ()> + Send;
}

impl Tasks {
    /// Runs `task` until it is done or the node ends.
    pub(super) fn spawn<T: Task>(&self, task: T) {
        self.tracker.spawn(self.supervised(task));
    }

    /// Runs a task that ends by itself when the node drains.
    pub(super) fn spawn_draining<T: Task>(&self, task: T) {
        self.draining.spawn(self.supervised(task));
    }

    fn supervised<T: Task>(&self, mut task: T) -> impl Future<Output = ()> + Send + use<T> {
        let cancel = self.cancel.clone();
        async move {
            let mut pauses = pauses(Duration::from_secs(1));
            loop {
                let run = AssertUnwindSafe(task.run()).catch_unwind();
                tokio::select! {
                    // First, so that a task hears that the node ends before it sees what it works with close, and
                    // takes it for a loss.
                    biased;
                    () = cancel.cancelled() => return,
                    ended = run => match ended {
                        Ok(()) => return,
                        Err(_) => observe::task_restarted(T::NAME),
                    },
                }
                let pause = pauses.next().unwrap_or_default();
                if cancel
                    .run_until_cancelled(tokio::time::sleep(pause))
                    .await
                    .is_none()
                {
                    return;
                }
            }
        }
    }

    /// Asks every task to stop.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits until the tasks that drain have ended.
    pub(super) async fn drained(&self) {
        self.draining.close();
        self.draining.wait().await;
    }

    /// Waits until every task has stopped.
    pub(super) async fn stopped(&self) {
        self.drained().await;
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Jittered exponential pauses from 10 ms up to `longest`, without end.
pub(super) fn pauses(longest: Duration) -> impl Iterator<Item = Duration> + Send {
    backon::ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(10).min(longest / 2))
        .with_max_delay(longest / 2)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}
