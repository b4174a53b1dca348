//! How much of the time that passes the machine does not give to the suite.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep_until};

/// How often it is looked whether what is due runs; so late may everything be.
const TICK: Duration = Duration::from_millis(10);

/// Watches the machine for as long as it lives: a bound on how long a *node* may take does not count the time in which a
/// machine that is overloaded, or suspended, ran nobody.
pub(crate) struct Machine {
    began: Instant,
    shared: Arc<Shared>,
    watching: JoinHandle<()>,
}

/// In nanoseconds, since it began.
#[derive(Default)]
struct Shared {
    /// Time that was lost before the last tick.
    lost: AtomicU64,
    /// When the next tick is due.
    due: AtomicU64,
}

impl Machine {
    pub(crate) fn watch() -> Self {
        let (began, shared) = (Instant::now(), Arc::new(Shared::default()));
        Self {
            began,
            watching: tokio::spawn(watch(began, Arc::clone(&shared))),
            shared,
        }
    }

    /// How long it has run what was due since this began.
    pub(crate) fn ran(&self) -> Duration {
        let now = self.began.elapsed();
        let due = Duration::from_nanos(self.shared.due.load(Ordering::SeqCst));
        let lost = Duration::from_nanos(self.shared.lost.load(Ordering::SeqCst));
        now.saturating_sub(lost + late(now, due))
    }
}

/// Below a tick it counts as none.
fn late(now: Duration, due: Duration) -> Duration {
    now.saturating_sub(due + TICK)
}

async fn watch(began: Instant, shared: Arc<Shared>) {
    loop {
        let due = began.elapsed() + TICK;
        shared.due.store(due.as_nanos() as u64, Ordering::SeqCst);
        sleep_until((began + due).into()).await;
        let lost = late(began.elapsed(), due).as_nanos() as u64;
        shared.lost.fetch_add(lost, Ordering::SeqCst);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time in which nothing runs is not counted, already while it lasts.
    #[tokio::test]
    async fn a_stall_does_not_count() {
        let machine = Machine::watch();
        tokio::time::sleep(3 * TICK).await;
        // Nothing else runs in this runtime meanwhile.
        std::thread::sleep(Duration::from_millis(500));
        let stalled = machine.began.elapsed();
        assert!(machine.ran() + Duration::from_millis(400) < stalled);
        tokio::time::sleep(3 * TICK).await;
        assert!(machine.ran() + Duration::from_millis(400) < machine.began.elapsed());
    }

    /// What is at most a tick late is in time.
    #[test]
    fn a_tick_is_tolerated() {
        assert_eq!(late(2 * TICK, TICK), Duration::ZERO);
        assert_eq!(late(5 * TICK, TICK), 3 * TICK);
    }
}
