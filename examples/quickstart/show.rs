//! The show: what all acts share, and the verdict at its end.

use std::{path::Path, time::Duration};

use anyhow::Context;
use tokio::time::sleep;

use crate::{
    acts,
    carrier::Carrier,
    child::{BOUND, POLL, TTL},
    cluster::{Cluster, NODES},
    database::{Database, HOT_ROWS, ROWS},
    history::{History, Judgement},
    home::Home,
    measure::Latencies,
    observe::{Arrival, observed},
    report::Report,
    stage::Stage,
};

/// How much of everything there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) all_layers: usize,
    pub(crate) log_alone: usize,
    pub(crate) crashes: usize,
    pub(crate) stopped_writes: usize,
    pub(crate) unreadable_writes: usize,
    pub(crate) outside: usize,
}

impl Pace {
    pub(crate) const FULL: Self = Self {
        all_layers: 300,
        log_alone: 60,
        crashes: 4,
        stopped_writes: 24,
        unreadable_writes: 24,
        outside: 24,
    };
    /// For a test: every act, but few writes.
    pub(crate) const SHORT: Self = Self {
        all_layers: 12,
        log_alone: 6,
        crashes: 1,
        stopped_writes: 6,
        unreadable_writes: 6,
        outside: 4,
    };
}

/// The nodes, and what is known of them.
#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) stage: Stage,
    pub(crate) pace: Pace,
    /// What reads are judged by.
    pub(crate) bound: Duration,
    /// A connection of the parent's own, which knows nothing of the framework.
    pub(crate) database: Database,
    pub(crate) cluster: Cluster,
    pub(crate) history: History,
    pub(crate) acts: Vec<Act>,
    /// Everything that must not be.
    pub(crate) failures: Vec<String>,
    next_key: i64,
}

/// What an act measured.
#[derive(Debug)]
pub(crate) struct Act {
    pub(crate) title: &'static str,
    pub(crate) latencies: Latencies,
}

/// The numbers of the acts that the summary quotes; 0 is what comes before the first.
pub(crate) const ALL_LAYERS: usize = 1;
pub(crate) const LOG_ALONE: usize = 2;
pub(crate) const CRASHED_PUBLISHER: usize = 3;

/// Runs everything, in `folder`.
pub(crate) async fn run(
    stage: Stage,
    pace: Pace,
    bound: Duration,
    setting: (&Home, Carrier),
    folder: &Path,
) -> anyhow::Result<Report> {
    let mut show = Show::start(stage, pace, bound, setting, folder).await?;
    acts::all_layers(&mut show).await?;
    acts::log_alone(&mut show).await?;
    acts::crashed_publisher(&mut show).await?;
    acts::stopped_node(&mut show).await?;
    acts::unreadable_log(&mut show).await?;
    acts::update_from_outside(&mut show).await?;
    show.judge().await
}

impl Show {
    async fn start(
        mut stage: Stage,
        pace: Pace,
        bound: Duration,
        (home, carrier): (&Home, Carrier),
        folder: &Path,
    ) -> anyhow::Result<Self> {
        stage.line(&format!(
            "{NODES} node processes, {home} with {ROWS} rows, {carrier}.\n\
             No read may be staler than {BOUND:?} (max_staleness); the log is polled every {POLL:?}; TTL {TTL:?}.\n\
             All nodes read all the time, and every read is checked against what was committed.\n"
        ));
        stage.progress("starting".into());
        home.build().await?;
        let database = home.open().await?;
        database.fill().await?;
        let mut show = Self {
            stage,
            pace,
            bound,
            database,
            cluster: Cluster::start(home.clone(), carrier, folder).await?,
            history: History::default(),
            acts: Vec::new(),
            failures: Vec::new(),
            next_key: 0,
        };
        show.warm_up().await?;
        Ok(show)
    }

    /// Every connection of the fan-out is made with the first frame that uses it. Not measured.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        for writer in 0..2 * NODES {
            self.write_and_watch(0, writer).await?;
        }
        Ok(())
    }

    /// Announces an act; its number.
    pub(crate) fn begin(&mut self, title: &'static str, announcement: &str) -> usize {
        self.acts.push(Act {
            title,
            latencies: Latencies::default(),
        });
        let number = self.acts.len();
        self.stage.line(&format!("{number}  {announcement}"));
        number
    }

    /// Tells the result of the act at hand.
    pub(crate) fn result(&mut self, result: &str) {
        self.stage.line(&format!("   → {result}"));
    }

    /// The latencies of the act at hand, as a line.
    pub(crate) fn latencies(&self) -> String {
        let Some(latencies) = self.acts.last().map(|act| &act.latencies) else {
            return String::new();
        };
        match (
            latencies.quantile(0.5),
            latencies.quantile(0.99),
            latencies.max(),
        ) {
            (Some(p50), Some(p99), Some(max)) => {
                format!("gone from the other nodes after p50 {p50}, p99 {p99}, max {max}")
            }
            _ => "nothing was measured".into(),
        }
    }

    /// A row to write: round and round through those that are read most.
    pub(crate) fn some_key(&mut self) -> i64 {
        self.next_key = self.next_key % HOT_ROWS + 1;
        self.next_key
    }

    /// One write by `writer`, watched on all other nodes.
    pub(crate) async fn write_and_watch(
        &mut self,
        act: usize,
        writer: usize,
    ) -> anyhow::Result<()> {
        let key = self.some_key();
        let version = self.history.newest(key) + 1;
        let node = self.cluster.node(writer).clone();
        let watchers = self.cluster.others(writer);
        let arrival = observed(
            async move { node.write(key).await },
            watchers,
            (key, version),
        )
        .await?;
        self.record(act, arrival);
        Ok(())
    }

    /// One write by `writer`.
    pub(crate) async fn write(&mut self, act: usize, writer: usize) -> anyhow::Result<()> {
        let key = self.some_key();
        let commit = self.cluster.node(writer).write(key).await?;
        self.history.record(act, commit);
        Ok(())
    }

    /// Keeps what an observed write gave.
    pub(crate) fn record(&mut self, act: usize, arrival: Arrival) {
        self.history.record(act, arrival.commit);
        for node in &arrival.missing {
            self.failures.push(format!(
                "version {} of row {} never arrived at node {node}",
                arrival.commit.version, arrival.commit.key
            ));
        }
        // The warm-up is act 0.
        if let Some(act) = act
            .checked_sub(1)
            .and_then(|index| self.acts.get_mut(index))
        {
            act.latencies.add(arrival.latencies);
        }
    }

    /// Stops the readers, and judges every read.
    async fn judge(mut self) -> anyhow::Result<Report> {
        self.stage.progress("judging every read".into());
        // Every written row is read often enough that a write which had not arrived by now would show.
        sleep(BOUND + Duration::from_millis(200)).await;
        let mut judged = Vec::new();
        let mut reads = 0;
        for node in self.cluster.nodes() {
            let report = node.stop_reading().await?;
            reads += report.count;
            judged.push((
                node.number,
                Some(node),
                self.history.judge(&report, self.bound),
            ));
        }
        for (number, report) in &self.cluster.buried {
            reads += report.count;
            judged.push((*number, None, self.history.judge(report, self.bound)));
        }

        let mut worst = vec![Duration::ZERO; self.acts.len() + 1];
        let mut stale_reads = 0;
        for (number, node, judgement) in judged {
            let Judgement {
                too_stale,
                faults,
                worst: of_acts,
            } = judgement;
            for one in too_stale {
                stale_reads += match node {
                    Some(node) => node.reads_after(one.key, one.version, one.after).await?,
                    None => 1, // Its process is gone: at least the last one.
                };
                self.failures.push(format!(
                    "node {number} served version {} of row {} {:?} after it was superseded",
                    one.version, one.key, one.staleness
                ));
            }
            let faults = faults
                .into_iter()
                .map(|fault| format!("node {number}: {fault}"));
            self.failures.extend(faults);
            for (act, staleness) in of_acts {
                if let Some(worst) = worst.get_mut(act) {
                    *worst = staleness.max(*worst);
                }
            }
        }
        let versions = self
            .database
            .versions()
            .await
            .context("the last look at the table")?;
        self.history.check_table(&versions);
        self.failures.append(&mut self.history.faults);
        Ok(Report::new(self, reads, stale_reads, worst))
    }
}
