//! The histories that are cases: what is read, written and broken in each.

use std::{sync::Arc, time::Duration};

use super::{
    super::{NodeHarness, timing::TTL, under_test::Freshness},
    outages::Backend,
    run::play,
    schedule::Breaks,
};
use crate::Unable;

/// Short, so that it ends within the history. Elsewhere the TTL is so long that nothing converges by it.
const SHORT_TTL: Duration = Duration::from_millis(600);

const EVERYTHING: Breaks = Breaks {
    nodes: true,
    log: true,
    transport: true,
};

/// P3, P6, the TTL: whatever fails, no read from any cache is staler than that cache allows.
pub(crate) async fn history_of_bounded_reads(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let plan = Plan {
        ttl: SHORT_TTL,
        ..Plan::of(&Freshness::ALL)
    };
    play(&harness, seed, plan).await.map(drop)
}

/// P3, P5, P7: whatever fails, a strict read sees all that was committed before it.
pub(crate) async fn history_of_strict_reads(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let plan = Plan::of(&[Freshness::Strict]);
    play(&harness, seed, plan).await.map(drop)
}

/// P1, P6, P20: with a TTL that never ends anything, eventual reads see the node's own writes, and converge.
pub(crate) async fn converging_history(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let plan = Plan::of(&[Freshness::Eventual]);
    play(&harness, seed, plan).await.map(drop)
}

/// P2, P3, P20: the same where writes and invalidations share transactions, some of which roll back or are forgotten.
/// The log is not broken by the harness, since it shares its server with the rows, and nobody could load any.
pub(crate) async fn history_of_transactions(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let plan = Plan {
        means: Means::Transaction,
        breaks: Breaks {
            log: false,
            ..EVERYTHING
        },
        ..Plan::of(&Freshness::ALL)
    };
    play(&harness, seed, plan).await.map(drop)
}

/// P1, P3, P20: while the server behind the log comes and goes under a workload, no read is too stale, and all converge.
pub(crate) async fn history_across_log_outages(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    across(&harness, seed, Backend::Log).await
}

/// P3, P15, P20: so it is while the server behind the transport does.
pub(crate) async fn history_across_transport_outages(
    harness: Arc<dyn NodeHarness>,
    seed: u64,
) -> Result<(), Unable> {
    across(&harness, seed, Backend::Transport).await
}

/// Ignored when the harness can break nothing of this backend.
async fn across(harness: &Arc<dyn NodeHarness>, seed: u64, backend: Backend) -> Result<(), Unable> {
    let plan = Plan {
        breaks: Breaks {
            nodes: false,
            log: backend == Backend::Log,
            transport: backend == Backend::Transport,
        },
        ..Plan::of(&Freshness::ALL)
    };
    let outages = play(harness, seed, plan).await?;
    match outages.unable {
        Some(unable) if outages.played.is_empty() => Err(unable),
        _ => Ok(()),
    }
}

/// What a history is of.
pub(super) struct Plan<'a> {
    pub(super) reads: &'a [Freshness],
    pub(super) means: Means,
    pub(super) breaks: Breaks,
    pub(super) ttl: Duration,
}

impl<'a> Plan<'a> {
    const fn of(reads: &'a [Freshness]) -> Self {
        Self {
            reads,
            means: Means::Invalidate,
            breaks: EVERYTHING,
            ttl: TTL,
        }
    }
}

/// How rows are written and invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Invalidate,
    Transaction,
}
