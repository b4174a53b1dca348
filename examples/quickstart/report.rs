//! What is left when the show is over: a table, or one JSON object.

use std::time::Duration;

use serde::Serialize;

use crate::{
    cluster::NODES,
    measure::{Latencies, Millis, grouped},
    show::{ALL_LAYERS, CRASHED_PUBLISHER, LOG_ALONE, Show},
};

/// The outcome.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<Row>,
    summary: Summary,
    failures: Vec<String>,
    took: Duration,
}

/// A line of the table: one act.
#[derive(Debug)]
struct Row {
    title: &'static str,
    writes: usize,
    latencies: Latencies,
    worst: Millis,
}

/// The object of `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    nodes: usize,
    reads: u64,
    writes: u64,
    fast_path_ms: Spread,
    safety_net_ms: Spread,
    crashed_publisher_ms: Max,
    lease: Lease,
    stale_reads_beyond_bound: u64,
}

#[derive(Debug, Serialize)]
struct Spread {
    p50: Option<Millis>,
    p99: Option<Millis>,
    max: Option<Millis>,
}

#[derive(Debug, Serialize)]
struct Max {
    max: Option<Millis>,
}

#[derive(Debug, Serialize)]
struct Lease {
    bound_ms: u64,
    worst_staleness_ms: Millis,
}

impl Report {
    /// Of a show that is over; `worst` is the worst staleness of each act's writes, the warm-up's first.
    pub(crate) fn new(show: Show, reads: u64, stale_reads: u64, worst: Vec<Duration>) -> Self {
        let history = &show.history;
        let latencies = |act: usize| {
            let act = show.acts.get(act - 1);
            act.map(|act| act.latencies.clone()).unwrap_or_default()
        };
        let spread = |latencies: Latencies| Spread {
            p50: latencies.quantile(0.5),
            p99: latencies.quantile(0.99),
            max: latencies.max(),
        };
        let summary = Summary {
            nodes: NODES,
            reads,
            writes: history.writes(),
            fast_path_ms: spread(latencies(ALL_LAYERS)),
            safety_net_ms: spread(latencies(LOG_ALONE)),
            crashed_publisher_ms: Max {
                max: latencies(CRASHED_PUBLISHER).max(),
            },
            lease: Lease {
                bound_ms: u64::try_from(show.bound.as_millis()).unwrap_or(u64::MAX),
                worst_staleness_ms: worst.iter().max().copied().unwrap_or_default().into(),
            },
            stale_reads_beyond_bound: stale_reads,
        };
        let rows = show.acts.iter().zip(1..).map(|(act, number)| Row {
            title: act.title,
            writes: history.writes_of(number),
            latencies: act.latencies.clone(),
            worst: worst.get(number).copied().unwrap_or_default().into(),
        });
        Self {
            rows: rows.collect(),
            summary,
            took: show.stage.elapsed(),
            failures: show.failures,
        }
    }

    /// What must not have been; empty when all is well.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.summary)
    }

    /// The table and the verdict, for people.
    pub(crate) fn text(&self) -> String {
        let rule = "─".repeat(98);
        let mut text = format!(
            "\n{:37}{:>7}   {:^32}   {:>14}\n{:37}{:>7}   {:>10}{:>11}{:>11}   {:>14}\n{rule}\n",
            "",
            "",
            "gone from the other nodes after",
            "stalest read",
            "act",
            "writes",
            "p50",
            "p99",
            "max",
            "of any node"
        );
        let cell =
            |value: Option<Millis>| value.map_or("–".to_owned(), |value| value.to_string());
        for (row, number) in self.rows.iter().zip(1..) {
            text += &format!(
                "{number}  {:34}{:>7}   {:>10}{:>11}{:>11}   {:>14}\n",
                row.title,
                row.writes,
                cell(row.latencies.quantile(0.5)),
                cell(row.latencies.quantile(0.99)),
                cell(row.latencies.max()),
                row.worst.to_string(),
            );
        }
        let summary = &self.summary;
        text += &format!(
            "{rule}\n{} reads on {} nodes, each checked against {} committed writes, in {:.0} s.\n\
             The stalest read was {} behind; {} ms is the bound. Reads beyond it: {}.",
            grouped(summary.reads),
            summary.nodes,
            grouped(summary.writes),
            self.took.as_secs_f32(),
            summary.lease.worst_staleness_ms,
            summary.lease.bound_ms,
            summary.stale_reads_beyond_bound,
        );
        text
    }
}
