//! Loads that an invalidation overtakes.

use std::{pin::pin, sync::Arc};

use futures_util::{FutureExt, future::join_all};
use invalidation_core::{BoxError, Invalidation};

use super::{
    NodeHarness,
    scopes::{of_all, of_key, of_tag},
    stage::Stage,
    under_test::{
        Freshness::{self, Eventual, Strict},
        Loader,
    },
};
use crate::{Unable, wait};

/// P5: a load that began before its key was invalidated is not kept after it.
pub(crate) async fn overtaken_load_is_not_kept(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    overtaken(&harness, of_key("1")).await
}

/// P5: nor one whose tag was invalidated.
pub(crate) async fn overtaken_load_is_not_kept_by_tag(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    overtaken(&harness, of_tag("1")).await
}

/// P5: nor one whose whole cache was.
pub(crate) async fn overtaken_load_is_not_kept_by_clear(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    overtaken(&harness, of_all()).await
}

/// P5, P14: nor one that a flush overtook.
pub(crate) async fn overtaken_load_is_not_kept_by_flush(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    overtaken(&harness, vec![Invalidation::Everything]).await
}

async fn overtaken(harness: &Arc<dyn NodeHarness>, what: Vec<Invalidation>) -> Result<(), Unable> {
    let stage = Stage::with(harness, 1).await?;
    let (loader, load) = stage.rows.held_loader("1");
    let early = stage.spawn_read(0, Eventual, "1", loader);
    load.begun().await;
    stage.rows.write("1", 1);
    stage.invalidate(0, what).await;
    load.release();
    let early = wait::within("the load", wait::PATIENCE, early).await;
    assert_eq!(early.expect("reads"), 0, "the load had read its row before");
    assert_eq!(
        stage.read(0, Eventual, "1").await,
        1,
        "a load that began before the invalidation was kept after it"
    );
    Ok(())
}

/// P5, P1: a load that the log's entry overtakes is not kept either.
pub(crate) async fn load_overtaken_by_the_log_is_not_kept(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let (loader, load) = stage.rows.held_loader("1");
    let early = stage.spawn_read(0, Strict, "1", loader);
    load.begun().await;
    stage.write_elsewhere("1", 1).await;
    stage.caught_up(0).await;
    load.release();
    wait::within("the load", wait::PATIENCE, early)
        .await
        .expect("reads");
    assert_eq!(
        stage.read(0, Strict, "1").await,
        1,
        "a load that began before the log's entry was applied was kept after it"
    );
    Ok(())
}

/// P7: who comes after an invalidation never gets the result of a load that began before it.
pub(crate) async fn later_caller_joins_no_older_load(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    later_caller(&harness, of_key("1")).await
}

/// P7: nor when it was the row's tag that was invalidated, which only the load's end tells.
pub(crate) async fn later_caller_joins_no_older_load_by_tag(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    later_caller(&harness, of_tag("1")).await
}

async fn later_caller(
    harness: &Arc<dyn NodeHarness>,
    what: Vec<Invalidation>,
) -> Result<(), Unable> {
    let stage = Stage::with(harness, 1).await?;
    let (loader, load) = stage.rows.held_loader("1");
    let early = stage.spawn_read(0, Eventual, "1", loader);
    load.begun().await;
    stage.rows.write("1", 1);
    stage.invalidate(0, what).await;
    let mut late = pin!(stage.places[0].read(Eventual, "1", stage.rows.loader("1")));
    let read = wait::arrive(late.as_mut()).await; // Before the load ends.
    load.release();
    wait::within("the load", wait::PATIENCE, early)
        .await
        .expect("reads");
    let read = match read {
        Some(read) => read,
        None => wait::within("the later caller", wait::PATIENCE, late).await,
    };
    assert_eq!(
        read, 1,
        "a caller got what was loaded before the invalidation that it came after"
    );
    Ok(())
}

/// P7: callers of one key that come together load it once.
pub(crate) async fn concurrent_callers_load_once(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let (loader, load) = stage.rows.held_loader("1");
    let first = stage.spawn_read(0, Eventual, "1", loader);
    load.begun().await;
    let (later, unused) = stage.rows.held_loader("1");
    let place = &stage.places[0];
    let mut others: Vec<_> = (0..10)
        .map(|_| Box::pin(place.read(Eventual, "1", later.clone())))
        .collect();
    for other in &mut others {
        let early = wait::arrive(other.as_mut()).await;
        assert_eq!(early, None, "a caller was served before the load ended");
    }
    load.release();
    unused.release();
    let first = wait::within("the first caller", wait::PATIENCE, first).await;
    assert_eq!(first.expect("reads"), 0);
    let others = wait::within("the others", wait::PATIENCE, join_all(others)).await;
    assert_eq!(others, [0; 10]);
    assert!(!unused.was_begun(), "a second load of the same key ran");
    Ok(())
}

/// P7: who leads a load and goes away strands nobody who waits for it.
pub(crate) async fn dropped_leader_strands_nobody(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let (loader, load) = stage.rows.held_loader("1");
    let leader = stage.spawn_read(0, Eventual, "1", loader);
    load.begun().await;
    let mut joiner = pin!(stage.places[0].read(Eventual, "1", stage.rows.loader("1")));
    let early = wait::arrive(joiner.as_mut()).await;
    leader.abort();
    let read = match early {
        Some(read) => read,
        None => wait::within("P7: a read that had joined a load", wait::PATIENCE, joiner).await,
    };
    assert_eq!(read, 0);
    let after = stage.read(0, Eventual, "1").await;
    assert_eq!(after, 0, "a read after it");
    Ok(())
}

/// A load that fails is told to whom it concerns, and is not kept.
pub(crate) async fn failed_load_is_not_kept(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let failing: Loader =
        Arc::new(|| async { Err::<_, BoxError>("as the suite asked".into()) }.boxed());
    let node = stage.places[0].node();
    for freshness in Freshness::ALL {
        let read = node.read(freshness, "1", failing.clone());
        let failed = wait::within("a load that fails", wait::PATIENCE, read).await;
        assert!(
            failed.is_err(),
            "a load failed, and the read gave {failed:?}"
        );
        let again = node.read(freshness, "1", stage.rows.loader("1"));
        let again = wait::within("a load after it", wait::PATIENCE, again).await;
        assert!(
            matches!(again, Ok(0)),
            "after a load that failed the next read gave {again:?}: the failure was kept"
        );
    }
    Ok(())
}
