//! Plays a schedule, records what happens, and has it judged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{task::JoinSet, time::sleep};

use super::{
    super::{
        NodeHarness,
        gate::Gate,
        stage::{MAX_STALENESS, POLL, READ_TIMEOUT, Stage, of_all, of_key, of_tag},
        transactions::stored,
        under_test::{Ending, Freshness, Loader},
        wire::Line,
    },
    checker::{Bounds, Read, Write, converged, violations},
    schedule::{DisruptStep, KEYS, ReadStep, Schedule, Trouble, WriteScope, WriteStep},
};
use crate::{Unable, wait};

const NODES: usize = 3;
const LENGTH: Duration = Duration::from_secs(2);
/// Short, so that it ends within the history.
const TTL: Duration = Duration::from_millis(600);
/// `P20`: 1.2 poll intervals and the read timeout; and what a busy machine may add.
const CONVERGENCE: Duration = Duration::from_secs(1)
    .saturating_add(POLL)
    .saturating_add(READ_TIMEOUT)
    .saturating_add(Duration::from_secs(4));

/// P3, P6, P20: whatever fails, no read from any cache is staler than that cache allows, and all converge in the end.
pub(crate) async fn history_of_bounded_reads(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    play(&harness, seed, &Freshness::ALL, Means::Invalidate, TTL).await
}

/// P3, P5, P7: whatever fails, a strict read sees all that was committed before it.
pub(crate) async fn history_of_strict_reads(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    play(
        &harness,
        seed,
        &[Freshness::Strict],
        Means::Invalidate,
        super::super::stage::TTL,
    )
    .await
}

/// P1, P6, P20: with a TTL that never ends anything, eventual reads see the node's own writes, and converge.
pub(crate) async fn converging_history(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    play(
        &harness,
        seed,
        &[Freshness::Eventual],
        Means::Invalidate,
        super::super::stage::TTL,
    )
    .await
}

/// P2, P3: the same where writes and invalidations share transactions, some of which roll back or are forgotten.
pub(crate) async fn history_of_transactions(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    play(&harness, seed, &Freshness::ALL, Means::Transaction, TTL).await
}

/// How rows are written and invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Invalidate,
    Transaction,
}

struct History {
    stage: Stage,
    means: Means,
    start: Instant,
    /// One writer of a row at a time, so that its versions rise in the order of its commits.
    writing: Vec<tokio::sync::Mutex<u64>>,
    /// A database may have one writer at a time.
    transacting: tokio::sync::Mutex<()>,
    /// Those that may have happened.
    begun: Mutex<Vec<Write>>,
    committed: Mutex<Vec<Write>>,
    reads: Mutex<Vec<Read>>,
    /// Reads that ended in an error, which a broken log may cause.
    failed: AtomicU64,
}

async fn play(
    harness: &Arc<dyn NodeHarness>,
    seed: u64,
    reads: &[Freshness],
    means: Means,
    ttl: Duration,
) -> Result<(), Unable> {
    let stage = Stage::with_ttl(harness, NODES, ttl).await?;
    if means == Means::Transaction {
        drop(stage.space.log.begin().await?);
        stage.space.log.row("0").await?;
    }
    let schedule = Schedule::new(seed, NODES, LENGTH, reads);
    let history = Arc::new(History {
        stage,
        means,
        start: Instant::now(),
        writing: (0..KEYS).map(|_| tokio::sync::Mutex::new(0)).collect(),
        transacting: tokio::sync::Mutex::default(),
        begun: Mutex::default(),
        committed: Mutex::default(),
        reads: Mutex::default(),
        failed: AtomicU64::new(0),
    });
    history.clone().follow(schedule).await;
    for place in &history.stage.places {
        place.heal();
    }
    let healed = history.now();
    history.judge(ttl);
    if let Err(late) = converged(healed, history.seen_by_all().await, CONVERGENCE) {
        panic!("P20: {late}");
    }
    Ok(())
}

impl History {
    /// Panics when there are reads that cannot be.
    fn judge(&self, ttl: Duration) {
        let bounds = Bounds {
            ttl,
            max_staleness: MAX_STALENESS,
        };
        let (committed, begun) = (self.committed.lock(), self.begun.lock());
        let reads = self.reads.lock();
        let failed = self.failed.load(Ordering::Relaxed);
        assert!(
            reads.len() > 100 && committed.len() > 20,
            "a history of {} reads and {} writes proves nothing ({failed} reads failed)",
            reads.len(),
            committed.len()
        );
        let found = violations(&committed, &begun, &reads, bounds);
        let texts: Vec<_> = found.iter().take(10).map(ToString::to_string).collect();
        assert!(
            found.is_empty(),
            "{} of {} reads cannot be, among them:\n{}",
            found.len(),
            reads.len(),
            texts.join("\n")
        );
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn follow(self: Arc<Self>, schedule: Schedule) {
        let mut actors = JoinSet::new();
        for (writer, steps) in schedule.writers.into_iter().enumerate() {
            let history = Arc::clone(&self);
            let by = (writer < NODES).then_some(writer);
            actors.spawn(async move {
                for step in steps {
                    sleep(step.after).await;
                    history.write(by, &step).await;
                }
            });
        }
        for (place, steps) in schedule.readers {
            let history = Arc::clone(&self);
            actors.spawn(async move {
                let end = history.start + 2 * LENGTH; // Where each read waits, there is no end to them.
                for step in steps {
                    if Instant::now() > end {
                        break;
                    }
                    sleep(step.after).await;
                    history.read(place, &step).await;
                }
            });
        }
        for (place, steps) in schedule.disruptors.into_iter().enumerate() {
            let history = Arc::clone(&self);
            actors.spawn(async move {
                for step in steps {
                    sleep(step.after).await;
                    history.disrupt(place, &step).await;
                }
            });
        }
        while let Some(ended) = actors.join_next().await {
            if let Err(failed) = ended {
                std::panic::resume_unwind(failed.into_panic());
            }
        }
    }

    async fn write(&self, by: Option<usize>, step: &WriteStep) {
        let mut newest = self.writing[step.key].lock().await;
        let version = *newest + 1;
        let mut write = Write {
            key: step.key,
            version,
            by,
            begun: self.now(),
            committed: Duration::ZERO,
        };
        // One that is rolled back or forgotten is never to be read, by nobody and at no time (P2).
        if self.means == Means::Invalidate || !step.fails {
            self.begun.lock().push(write);
        }
        let done = match self.means {
            Means::Invalidate => {
                *newest = version;
                self.tell(by, step, version).await
            }
            Means::Transaction => {
                let done = self.transact(by, step, version).await;
                // Also when it is not known: no version is used twice.
                *newest = version;
                done
            }
        };
        if done {
            write.committed = self.now();
            self.committed.lock().push(write);
        }
    }

    /// Writes the row, and then invalidates it; `true` when that is known to have happened.
    async fn tell(&self, by: Option<usize>, step: &WriteStep, version: u64) -> bool {
        let key = step.key.to_string();
        self.stage.rows.write(&key, version);
        let what = match step.scope {
            WriteScope::Key => of_key(&key),
            WriteScope::Tag => of_tag(&key),
            WriteScope::Caches => of_all(),
            WriteScope::Everything => vec![invalidation_core::Invalidation::Everything],
        };
        match by {
            Some(place) => self.stage.places[place]
                .node()
                .invalidate(what)
                .await
                .is_ok(),
            None => self.stage.append(what).await.is_ok(),
        }
    }

    /// Writes and invalidates in one transaction; `true` when it is known to have committed.
    async fn transact(&self, by: Option<usize>, step: &WriteStep, version: u64) -> bool {
        let _one = self.transacting.lock().await;
        let key = step.key.to_string();
        let Ok(mut transaction) = self.stage.space.log.begin().await else {
            return false;
        };
        if transaction
            .write_row(&key, &version.to_string())
            .await
            .is_err()
        {
            return false;
        }
        let what = of_key(&key);
        let ending = match (step.fails, version % 2) {
            (false, _) => Ending::Commit,
            (true, 0) => Ending::RollBack,
            (true, _) => Ending::Drop,
        };
        let ended = match by {
            Some(place) => {
                let node = self.stage.places[place].node();
                node.end(transaction, what, ending).await.is_ok()
            }
            None => {
                let entries: Vec<_> = what
                    .into_iter()
                    .map(invalidation_core::Entry::new)
                    .collect();
                transaction.append(&entries).await.is_ok()
                    && ending == Ending::Commit
                    && transaction.commit().await.is_ok()
            }
        };
        ended && ending == Ending::Commit
    }

    async fn read(&self, place: usize, step: &ReadStep) {
        let key = step.key.to_string();
        let node = self.stage.places[place].node();
        let loader = slowed(self.loader(&key), step.load);
        let began = self.now();
        let reading = node.read(step.freshness, &key, loader);
        match wait::within("a read", wait::PATIENCE, reading).await {
            Ok(version) => self.reads.lock().push(Read {
                key: step.key,
                version,
                at: place,
                freshness: step.freshness,
                began,
                ended: self.now(),
            }),
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn loader(&self, key: &str) -> Loader {
        match self.means {
            Means::Invalidate => self.stage.rows.loader(key),
            Means::Transaction => stored(&self.stage.space, key),
        }
    }

    async fn disrupt(&self, at: usize, step: &DisruptStep) {
        let place = &self.stage.places[at];
        match step.what {
            Trouble::Log(gate) => place.gate.set(gate),
            Trouble::Wire(line) => place.wire.set(line),
            Trouble::Pause(_) => place.pause(),
            Trouble::Restart => {
                place.stop().await;
                place.start().await;
            }
            // Another writer's turn may make it fail; then nothing is purged.
            Trouble::Purge => drop(self.stage.log.purge(Duration::ZERO).await),
        }
        sleep(step.lasts).await;
        if let Trouble::Pause(leap) = step.what {
            place.clock.leap(leap);
        }
        place.gate.set(Gate::Open);
        place.wire.set(Line::Open);
        place.wire.release_backwards();
    }

    /// When every node had read what was committed last, in every cache; `None` when that did not come.
    async fn seen_by_all(&self) -> Option<Duration> {
        let newest: Vec<_> = (0..KEYS).map(|key| self.newest(key)).collect();
        let deadline = self.now() + 2 * CONVERGENCE;
        for (key, newest) in newest.iter().enumerate() {
            for place in &self.stage.places {
                for freshness in Freshness::ALL {
                    loop {
                        let text = key.to_string();
                        let node = place.node();
                        let read = node.read(freshness, &text, self.loader(&text));
                        let read = wait::within("a read", wait::PATIENCE, read).await;
                        if read.is_ok_and(|version| version >= *newest) {
                            break;
                        }
                        if self.now() > deadline {
                            return None;
                        }
                        sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        }
        Some(self.now())
    }

    fn newest(&self, key: usize) -> u64 {
        let committed = self.committed.lock();
        let of_key = committed.iter().filter(|write| write.key == key);
        of_key.map(|write| write.version).max().unwrap_or_default()
    }
}

/// The same loader, which ends so much later.
fn slowed(loader: Loader, by: Duration) -> Loader {
    Arc::new(move || {
        let load = loader();
        async move {
            let row = load.await;
            sleep(by).await;
            row
        }
        .boxed()
    })
}
