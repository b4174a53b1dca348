//! Nodes that start, and start again.

use std::sync::Arc;

use super::{
    NodeHarness,
    gate::Gate,
    stage::Stage,
    timing::TTL,
    under_test::Freshness::{Eventual, Strict},
};
use crate::Unable;

/// P14: a node that starts again holds nothing, and is told of what comes.
pub(crate) async fn restarted_node_is_cold_and_correct(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    for version in 1..=3 {
        stage.warm(1, "1").await;
        stage.places[1].stop().await;
        stage.write(0, "1", 2 * version).await; // It hears of nothing.
        stage.places[1].start().await;
        assert!(
            !stage.holds(1, Eventual, "1"),
            "it holds what it never loaded"
        );
        assert_eq!(stage.read(1, Strict, "1").await, 2 * version);
        stage.warm(1, "1").await;
        stage.write(0, "1", 2 * version + 1).await;
        stage.converges("1", 2 * version + 1).await;
    }
    Ok(())
}

/// P14: the cursor is taken before the first entry is cached: what is committed between the first load and the first
/// read of the log is not missed.
pub(crate) async fn cursor_is_taken_before_the_first_entry(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::empty(&harness, 1, TTL).await?;
    let place = &stage.places[0];
    place.gate.set(Gate::Hangs);
    place.start().await;
    stage.read(0, Eventual, "1").await; // It may be cached.
    stage.write_elsewhere("1", 1).await;
    place.heal();
    stage.caught_up(0).await;
    assert_eq!(
        stage.read(0, Eventual, "1").await,
        1,
        "what was committed before the node's first read of the log was missed"
    );
    stage.converges("1", 1).await;
    Ok(())
}

/// P3: a node that was shut down serves nothing that it holds.
pub(crate) async fn ended_node_serves_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.warm(0, "1").await;
    stage.places[0].stop().await;
    stage.write_elsewhere("1", 1).await;
    for freshness in super::Freshness::ALL {
        assert_eq!(
            stage.read(0, freshness, "1").await,
            1,
            "a node that was shut down still serves from its {freshness:?} cache"
        );
    }
    Ok(())
}
