//! Pasts that changed: restored, recreated, failed over.

use std::sync::Arc;

use super::{
    LogHarness,
    entries::{among, assert_exactly, assert_in_order, key, numbered},
    reader::Reader,
    stage::Stage,
};
use crate::{Disruption, Unable, wait::eventually};

/// P10: a reader that was ahead of the state that came back is told, and goes on from there.
pub(crate) async fn a_restored_state_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.append(&numbered("kept", 2)).await;
    stage.disrupt(Disruption::Snapshot).await?;
    let mut ahead = stage.reader().await?;
    let lost = numbered("lost", 3);
    stage.append(&lost).await;
    assert_in_order("P1: read before", &lost, &ahead.catch_up().await);
    stage.disrupt(Disruption::Restore).await?;
    let what = "the newest entry it had read is gone since an older state was restored";
    ahead.expects_expired(what).await;
    goes_on(&stage, &mut ahead).await;
    Ok(())
}

/// P10: a restore is told also when as many entries as were lost, or more, have been appended since.
pub(crate) async fn ids_used_again_are_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    for appended in [2, 3, 4] {
        let stage = Stage::fresh(&harness).await?;
        stage.append(&numbered("kept", 2)).await;
        stage.disrupt(Disruption::Snapshot).await?;
        let mut ahead = stage.reader().await?;
        stage.append(&numbered("lost", 3)).await;
        ahead.catch_up().await;
        stage.disrupt(Disruption::Restore).await?;
        for entry in numbered("new", appended) {
            stage.append(&[entry]).await;
        }
        let what = format!(
            "three entries it had read were lost in a restore, and {appended} appended in their place"
        );
        ahead.expects_expired(&what).await;
        goes_on(&stage, &mut ahead).await;
    }
    Ok(())
}

/// P1, P10: one who had read only what came back misses nothing that is appended after the restore, or is told.
pub(crate) async fn a_restore_skips_nothing(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.append(&numbered("kept", 2)).await;
    let mut reader = stage.reader().await?;
    stage.disrupt(Disruption::Snapshot).await?;
    stage.append(&numbered("lost", 3)).await;
    stage.disrupt(Disruption::Restore).await?;
    let entries = numbered("new", 4);
    stage.append(&entries).await;
    if let Ok(found) = reader.try_catch_up().await {
        let rule = "P1: all that was appended after the restore, and nothing of what was lost";
        assert_in_order(rule, &entries, &found);
    }
    goes_on(&stage, &mut reader).await;
    Ok(())
}

/// P10: what was lost in a restore is covered by no cursor on what came after, which may stand at the same ids.
pub(crate) async fn a_restore_covers_nothing_that_was_lost(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.append(&numbered("kept", 2)).await;
    stage.disrupt(Disruption::Snapshot).await?;
    let lost = stage.append(&numbered("lost", 3)).await;
    stage.disrupt(Disruption::Restore).await?;
    let mut reader = stage.reader().await?;
    let entries = numbered("new", 4);
    for entry in &entries {
        stage.append(std::slice::from_ref(entry)).await;
    }
    let rule = "P1: what is appended after a restore is read";
    assert_in_order(rule, &entries, &reader.catch_up().await);
    for (number, position) in lost.iter().enumerate() {
        assert!(
            !reader.log.covers(&reader.cursor, position),
            "P10: expected a cursor on what was appended after a restore not to cover entry lost/{number}, which it never \
             passed, and found that it does"
        );
    }
    Ok(())
}

/// P10: a log that was made anew under the same name is told to everybody, also to one who had read nothing yet.
pub(crate) async fn a_recreated_log_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    for appended in [0, 1, 3, 5] {
        let stage = Stage::fresh(&harness).await?;
        let mut from_the_start = stage.reader().await?;
        stage.append(&numbered("old", 3)).await;
        let mut ahead = stage.reader().await?;
        stage.disrupt(Disruption::Recreate).await?;
        stage.log.install().await.expect("installs once more");
        for entry in numbered("new", appended) {
            stage.append(&[entry]).await;
        }
        for (reader, what) in [
            (&mut from_the_start, "a log with entries it had not read"),
            (&mut ahead, "a log it had read"),
        ] {
            let what = format!("{what} was replaced by a new one with {appended} entries");
            reader.expects_expired(&what).await;
            goes_on(&stage, reader).await;
        }
    }
    Ok(())
}

/// P10: after a failover each reader misses nothing that was acknowledged, or is told.
pub(crate) async fn a_failover_keeps_or_tells(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut behind = stage.reader().await?;
    let acknowledged = numbered("before", 5);
    for entry in &acknowledged {
        stage.append(std::slice::from_ref(entry)).await;
    }
    let mut ahead = stage.reader().await?;
    stage.disrupt(Disruption::FailOver).await?;
    let after = eventually!("the log takes appends after the failover", {
        let entry = [key("after")];
        stage.log.append(&entry).await.ok().map(|_| entry)
    });
    let all = [&acknowledged[..], &after].concat();
    for (reader, expected) in [(&mut behind, &all[..]), (&mut ahead, &after)] {
        if let Ok(found) = reader.try_catch_up().await {
            let rule = "P10: nothing acknowledged is missing, or the cursor expired";
            // An append whose answer was lost may have happened as well.
            assert_exactly(rule, expected, &among(&found, expected));
        }
        goes_on(&stage, reader).await;
    }
    Ok(())
}

/// After a gap the reader reads on like any other.
async fn goes_on(stage: &Stage, reader: &mut Reader) {
    reader.catch_up().await;
    let entries = numbered("next", 2);
    stage.append(&entries).await;
    let rule = "P10: after a gap the reader goes on";
    assert_in_order(rule, &entries, &reader.catch_up().await);
}
