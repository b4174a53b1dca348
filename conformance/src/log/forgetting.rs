//! What a purge must not forget.

use std::sync::Arc;

use super::{
    LogHarness,
    entries::{assert_exactly, key, numbered},
    purging::purge_at_least,
    reader::Reader,
    stage::Stage,
    transactions::join,
};
use crate::{Disruption, Unable, wait::eventually};

/// P1, P13: what a transaction commits late, in front of entries that were purged before, is read; and when it is purged
/// itself, whoever had passed all that came before it is told.
pub(crate) async fn a_purge_of_what_was_committed_late_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.purges()?;
    stage.space.concurrent_transactions()?;
    let mut reader = stage.reader().await?;
    let late = numbered("late", 2);
    let mut transaction = stage.begin().await?;
    join(&mut *transaction, &late).await;
    let early = numbered("early", 4);
    stage.append(&early).await;
    let rule = "P1: what is committed beside an open transaction is read";
    assert_exactly(rule, &early, &reader.catch_up().await);
    purge_at_least(&stage.log, 3).await;
    let rule = "P13: one who had passed all that was purged reads on";
    assert_exactly(rule, &[], &reader.catch_up().await);
    let mut misses = Reader::at(stage.node().await?, reader.cursor.clone());
    transaction.commit().await.expect("commits");
    let rule = "P1: what was committed after younger entries were purged is read";
    assert_exactly(rule, &late, &reader.catch_up().await);
    // The newest entry stays, so that nothing else goes that the reader has not passed.
    let newest = [key("newest")];
    stage.append(&newest).await;
    purge_at_least(&stage.log, 3).await;
    misses
        .expects_expired(
            "entries that were committed late, and that it had not passed, were purged",
        )
        .await;
    let rule = "P13: one who had passed what was committed late reads on";
    assert_exactly(rule, &newest, &reader.catch_up().await);
    Ok(())
}

/// P13: what was purged before the server was stopped is told after it started again.
pub(crate) async fn a_restart_forgets_no_purge(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.purges()?;
    let mut from_the_start = stage.reader().await?;
    stage.append(&[key("read")]).await;
    let mut behind = stage.reader().await?;
    stage.append_each(&numbered("a", 5)).await;
    purge_at_least(&stage.log, 4).await;
    stage.disrupt(Disruption::Stop).await?;
    stage.mend(Disruption::Restart).await;
    eventually!("the log takes appends again", {
        let appended = stage.log.append(&[key("after")]).await;
        appended.ok().map(|_| ())
    });
    for reader in [&mut from_the_start, &mut behind] {
        let lost = "entries that it had not passed were purged before the server was stopped";
        reader.expects_expired(lost).await;
    }
    Ok(())
}
