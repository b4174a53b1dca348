//! What a node does when it cannot know what it missed.

use std::{sync::Arc, time::Duration};

use super::{
    NodeHarness,
    scopes::of_key,
    stage::Stage,
    under_test::Freshness::{Eventual, Strict},
};
use crate::{
    Disruption, Unable,
    wait::{self, eventually},
};

/// P10, P13: a node that was paused while entries were purged past it flushes.
pub(crate) async fn purge_past_a_paused_node_flushes(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.warm(0, "1").await;
    purge_past(&stage).await?;
    stage.places[0].gate.set(super::gate::Gate::Open);
    assert_eq!(
        stage.read(0, Strict, "1").await,
        1,
        "entries were purged past a node, and it did not flush"
    );
    stage.converges("1", 1).await;
    Ok(())
}

/// P5, P10: a load that such a flush overtakes is not kept.
pub(crate) async fn flush_fences_loads(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let (loader, load) = stage.rows.held_loader("1");
    let early = stage.spawn_read(0, Eventual, "1", loader);
    load.begun().await;
    purge_past(&stage).await?;
    stage.places[0].gate.set(super::gate::Gate::Open);
    stage.caught_up(0).await;
    load.release();
    wait::within("the load", wait::PATIENCE, early)
        .await
        .expect("reads");
    assert_eq!(
        stage.read(0, Eventual, "1").await,
        1,
        "a load that began before the flush was kept after it"
    );
    Ok(())
}

/// Writes row 1, and purges its entry before the node has read it. The node stays paused.
///
/// Where the backend forgets by itself it is made to, in whatever way it does.
pub(super) async fn purge_past(stage: &Stage) -> Result<(), Unable> {
    let place = &stage.places[0];
    place.pause();
    place.gate.next_begun().await; // What was under way before is over.
    stage.write_elsewhere("1", 1).await;
    if stage.space.log.purges().is_err() {
        return stage.space.log.outgrow(&stage.log).await;
    }
    // The newest entry is never purged, so it must be another one; and some logs count age in whole units.
    for _ in 0..3 {
        stage.append(of_key("other")).await.expect("appends");
    }
    eventually!("the entries are purged", {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let purged = stage.log.purge(Duration::ZERO).await.expect("purges");
        (purged.entries > 0).then_some(())
    });
    while stage
        .log
        .purge(Duration::ZERO)
        .await
        .expect("purges")
        .entries
        > 0
    {}
    Ok(())
}

/// P10: a log that was restored from an older state is noticed, also when its ids go on as if nothing had happened.
pub(crate) async fn restored_log_flushes(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.append(of_key("other")).await.expect("appends");
    stage.space.log.disrupt(Disruption::Snapshot).await?;
    stage.append(of_key("lost")).await.expect("appends");
    stage.caught_up(0).await; // It has read past the snapshot.
    stage.warm(0, "1").await;
    stage.places[0].pause();
    stage.places[0].gate.next_begun().await;
    stage.space.log.disrupt(Disruption::Restore).await?;
    stage.rows.write("1", 1);
    append_again(&stage).await;
    stage.places[0].heal();
    stage.converges("1", 1).await;
    Ok(())
}

/// P10: so is one that was made anew under the same name.
pub(crate) async fn recreated_log_flushes(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.append(of_key("other")).await.expect("appends");
    stage.warm(0, "1").await;
    stage.places[0].pause();
    stage.places[0].gate.next_begun().await;
    stage.space.log.disrupt(Disruption::Recreate).await?;
    stage.log.install().await.expect("installs once more");
    stage.rows.write("1", 1);
    append_again(&stage).await;
    stage.places[0].heal();
    stage.converges("1", 1).await;
    Ok(())
}

/// An entry that says nothing of row 1, on the log as it is now: the handles of old connections may need a moment.
async fn append_again(stage: &Stage) {
    eventually!("the log takes entries again", {
        stage.append(of_key("other")).await.ok()
    });
}

/// P12: an entry that this version cannot read flushes what it may have meant, and stops nothing.
pub(crate) async fn unreadable_entry_widens(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.warm(0, "1").await;
    stage.rows.write("1", 1);
    stage.space.log.write_unknown_row().await?;
    stage.caught_up(0).await;
    assert_eq!(
        stage.read(0, Eventual, "1").await,
        1,
        "an entry that this version cannot read was skipped"
    );
    stage.write_elsewhere("1", 2).await;
    stage.converges("1", 2).await;
    Ok(())
}
