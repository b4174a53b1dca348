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
        machine::Machine,
        scopes::{of_all, of_key, of_tag},
        stage::Stage,
        timing::{MAX_STALENESS, RECOVERY},
        transactions::stored,
        under_test::{Ending, Loader, NodeUnderTest},
        wire::Line,
    },
    cases::{Means, Plan},
    checker::{Bounds, Process, Read, Write, Writes, converged, violations},
    outages::{self, Backend},
    schedule::{DisruptStep, KEYS, OutageStep, ReadStep, Schedule, Trouble, WriteScope, WriteStep},
};
use crate::{Disruption, Unable, wait};

pub(super) const NODES: usize = 3;
const LENGTH: Duration = Duration::from_secs(2);

pub(super) struct History {
    pub(super) stage: Stage,
    means: Means,
    start: Instant,
    machine: Machine,
    /// One writer of a row at a time, so that its versions rise in the order of its commits.
    writing: Vec<tokio::sync::Mutex<u64>>,
    /// A database may have one writer at a time.
    transacting: tokio::sync::Mutex<()>,
    /// Those that may have happened.
    begun: Mutex<Vec<Write>>,
    pub(super) committed: Mutex<Vec<Write>>,
    /// Those that are rolled back or forgotten.
    undone: Mutex<Vec<Write>>,
    reads: Mutex<Vec<Read>>,
    /// Reads that ended in an error, which a broken log may cause.
    failed: AtomicU64,
    outages: Mutex<Outages>,
}

/// What the harness was asked to break.
#[derive(Default)]
pub(super) struct Outages {
    pub(super) played: Vec<Disruption>,
    pub(super) unable: Option<Unable>,
}

pub(super) async fn play(
    harness: &Arc<dyn NodeHarness>,
    seed: u64,
    plan: Plan<'_>,
) -> Result<Outages, Unable> {
    let stage = Stage::with_ttl(harness, NODES, plan.ttl).await?;
    if plan.means == Means::Transaction {
        drop(stage.space.log.begin().await?);
        stage.space.log.row("0").await?;
    }
    let schedule = Schedule::new(seed, NODES, LENGTH, plan.reads, plan.breaks);
    let history = Arc::new(History {
        stage,
        means: plan.means,
        start: Instant::now(),
        machine: Machine::watch(),
        writing: (0..KEYS).map(|_| tokio::sync::Mutex::new(0)).collect(),
        transacting: tokio::sync::Mutex::default(),
        begun: Mutex::default(),
        committed: Mutex::default(),
        undone: Mutex::default(),
        reads: Mutex::default(),
        failed: AtomicU64::new(0),
        outages: Mutex::default(),
    });
    history.clone().follow(schedule).await;
    for place in &history.stage.places {
        place.heal();
    }
    // Where the TTL is short, it is the TTL that would make them converge.
    if plan.ttl > 10 * RECOVERY {
        let awaited = history.awaited().await;
        history.judge(plan.ttl);
        if let Err(late) = converged(&awaited, RECOVERY) {
            panic!(
                "{late}\nbroken by the harness: {:?}",
                history.outages.lock().played
            );
        }
    } else {
        history.judge(plan.ttl);
    }
    let outages = std::mem::take(&mut *history.outages.lock());
    Ok(outages)
}

impl History {
    /// Panics when there are reads that cannot be.
    fn judge(&self, ttl: Duration) {
        let bounds = Bounds {
            ttl,
            max_staleness: MAX_STALENESS,
        };
        let (committed, begun) = (self.committed.lock(), self.begun.lock());
        let undone = self.undone.lock();
        let reads = self.reads.lock();
        let failed = self.failed.load(Ordering::Relaxed);
        assert!(
            reads.len() > 100 && committed.len() > 20,
            "a history of {} reads and {} writes proves nothing ({failed} reads failed)",
            reads.len(),
            committed.len()
        );
        let writes = Writes {
            committed: &committed,
            begun: &begun,
            undone: &undone,
        };
        let found = violations(writes, &reads, bounds);
        let texts: Vec<_> = found.iter().take(10).map(ToString::to_string).collect();
        assert!(
            found.is_empty(),
            "{} of {} reads cannot be, among them:\n{}\nbroken by the harness: {:?}",
            found.len(),
            reads.len(),
            texts.join("\n"),
            self.outages.lock().played
        );
    }

    /// The node that runs at this place now.
    fn node(&self, place: usize) -> (Process, Arc<dyn NodeUnderTest>) {
        let (number, node) = self.stage.places[place].numbered_node();
        (Process { place, number }, node)
    }

    /// Whether it is long enough: where reads or writes have to wait, there is no end to a schedule.
    fn is_over(&self) -> bool {
        self.machine.ran() > 2 * LENGTH || self.now() > 10 * LENGTH
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
                    if history.is_over() {
                        break;
                    }
                    sleep(step.after).await;
                    history.write(by, &step).await;
                }
            });
        }
        for (place, steps) in schedule.readers {
            let history = Arc::clone(&self);
            actors.spawn(async move {
                for step in steps {
                    if history.is_over() {
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
                    if history.is_over() {
                        break;
                    }
                    sleep(step.after).await;
                    history.disrupt(place, &step).await;
                }
            });
        }
        for (backend, steps) in [
            (Backend::Log, schedule.log_outages),
            (Backend::Transport, schedule.transport_outages),
        ] {
            let history = Arc::clone(&self);
            actors.spawn(async move {
                for step in steps {
                    if history.is_over() {
                        break;
                    }
                    sleep(step.after).await;
                    history.break_backend(backend, &step).await;
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
        let node = by.map(|place| self.node(place));
        let (by, node) = match node {
            Some((process, node)) => (Some(process), Some(node)),
            None => (None, None),
        };
        let mut newest = self.writing[step.key].lock().await;
        let version = *newest + 1;
        let mut write = Write {
            key: step.key,
            version,
            by,
            begun: self.now(),
            committed: Duration::ZERO,
        };
        let undone = self.means == Means::Transaction && step.fails;
        let fate = if undone { &self.undone } else { &self.begun };
        fate.lock().push(write);
        let done = match self.means {
            Means::Invalidate => {
                *newest = version;
                self.tell(node, step, version).await
            }
            Means::Transaction => {
                let done = self.transact(node, step, version).await;
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
    async fn tell(
        &self,
        node: Option<Arc<dyn NodeUnderTest>>,
        step: &WriteStep,
        version: u64,
    ) -> bool {
        let key = step.key.to_string();
        self.stage.rows.write(&key, version);
        let what = match step.scope {
            WriteScope::Key => of_key(&key),
            WriteScope::Tag => of_tag(&key),
            WriteScope::Caches => of_all(),
            WriteScope::Everything => vec![invalidation_core::Invalidation::Everything],
        };
        match node {
            Some(node) => node.invalidate(what).await.is_ok(),
            None => self.stage.append(what).await.is_ok(),
        }
    }

    /// Writes and invalidates in one transaction; `true` when it is known to have committed.
    async fn transact(
        &self,
        node: Option<Arc<dyn NodeUnderTest>>,
        step: &WriteStep,
        version: u64,
    ) -> bool {
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
        let ended = match node {
            Some(node) => node.end(transaction, what, ending).await.is_ok(),
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
        let (process, node) = self.node(place);
        let loader = slowed(self.loader(&key), step.load);
        let began = self.now();
        let reading = node.read(step.freshness, &key, loader);
        match wait::within("a read", wait::PATIENCE, reading).await {
            Ok(version) => self.reads.lock().push(Read {
                key: step.key,
                version,
                at: process,
                freshness: step.freshness,
                began,
                ended: self.now(),
            }),
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn loader(&self, key: &str) -> Loader {
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

    /// Nothing where the harness cannot.
    async fn break_backend(&self, backend: Backend, step: &OutageStep) {
        let played = outages::play(&self.stage.space, backend, step).await;
        let mut outages = self.outages.lock();
        match played {
            Ok(disruption) => outages.played.push(disruption),
            Err(unable) => outages.unable = Some(unable),
        }
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
