//! Nodes whose process does not run for a while.

use std::{pin::pin, sync::Arc, time::Duration};

use super::{
    NodeHarness,
    gate::Gate,
    stage::Stage,
    timing::MAX_STALENESS,
    under_test::Freshness::{Bounded, Strict},
};
use crate::{Unable, wait};

/// P3: a process that was stopped past its bound asks the log before it serves again.
pub(crate) async fn clock_that_leaps_over_a_pause_ends_the_lease(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    let place = &stage.places[1];
    stage.warm(1, "1").await;
    stage.read(1, Strict, "1").await; // The lease is young.
    place.pause();
    stage.write(0, "1", 1).await;
    place.clock.leap(Duration::from_secs(60));
    assert!(
        !stage.holds(1, Bounded, "1"),
        "the time of the pause did not count: the lease of {MAX_STALENESS:?} survived a minute"
    );
    let loader = stage.rows.loader("1");
    let read = stage.spawn_read(1, Bounded, "1", loader);
    place.heal();
    let read = wait::within("the read", wait::PATIENCE, read).await;
    assert_eq!(read.expect("reads"), 1);
    stage.converges("1", 1).await;
    Ok(())
}

/// P1, P20: after a pause that the node's clock did not count, which no lease can cover, it still converges, and its
/// strict reads are strict as ever.
pub(crate) async fn clock_that_stands_over_a_pause_converges(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    let place = &stage.places[1];
    stage.warm(1, "1").await;
    place.clock.stop(); // The lease is young, and stays so.
    place.pause();
    stage.write(0, "1", 1).await;
    let mut read = pin!(place.read(Strict, "1", stage.rows.loader("1")));
    let early = wait::arrive(read.as_mut()).await; // Before anybody tells it.
    place.clock.go_on();
    place.heal();
    let read = match early {
        Some(read) => read,
        None => wait::within("the read", wait::PATIENCE, read).await,
    };
    assert_eq!(read, 1, "a strict read by the lease alone");
    stage.converges("1", 1).await;
    Ok(())
}

/// P20: when what broke is whole again, every node converges within 1.2 poll intervals and the read timeout.
pub(crate) async fn nodes_converge_after_healing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 3).await?;
    for version in 1..=2 {
        for place in 0..3 {
            stage.warm(place, "1").await;
            stage.places[place].isolate();
        }
        stage.write(0, "1", version).await;
        for place in &stage.places {
            for _ in 0..3 {
                place.gate.next_end().await; // With an error.
            }
        }
        for place in &stage.places {
            place.heal();
        }
        stage.converges("1", version).await;
    }
    Ok(())
}

/// P20: a read of the log whose answer is lost is given up within the read timeout, and another one takes its place.
pub(crate) async fn lost_read_is_given_up(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    for version in 1..=2 {
        stage.warm(0, "1").await;
        let gate = &stage.places[0].gate;
        gate.set(Gate::Loses);
        gate.next_lost().await;
        gate.set(Gate::Open);
        stage.write_elsewhere("1", version).await;
        stage.converges("1", version).await;
    }
    Ok(())
}
