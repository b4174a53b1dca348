//! A link that is slow.

use std::{sync::Arc, time::Duration};

use invalidation_core::{Cursor, Entry};
use tokio::time::timeout;

use super::{
    LogHarness,
    entries::{among, assert_in_order, key, numbered},
    reader::Reader,
    stage::{Stage, append},
};
use crate::{Disruption, Unable};

/// P1, P4: over a slow link pages come later, in order and whole, and a read that is given up meanwhile claims nothing.
pub(crate) async fn a_slow_link_keeps_the_order(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const DELAY: Duration = Duration::from_millis(40);
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?.paged(4);
    let mut entries = numbered("before", 10);
    stage.append(&entries).await;
    stage.disrupt(Disruption::Delay(DELAY)).await?;
    for _ in 0..3 {
        // Sooner than any answer can be here, however quick the machine is.
        if let Ok(Ok(page)) = timeout(DELAY / 2, reader.attempt()).await {
            panic!(
                "P4: expected no answer within half of a link's delay of {DELAY:?}, and found {page:?}"
            );
        }
    }
    let beside = numbered("beside", 4);
    let writer = tokio::spawn({
        let (log, beside) = (stage.log.clone(), beside.clone());
        async move {
            for entry in &beside {
                append(&log, std::slice::from_ref(entry)).await;
            }
        }
    });
    let mut found = Vec::new();
    while !writer.is_finished() {
        found.extend(reader.catch_up().await);
    }
    writer.await.expect("every append succeeds");
    found.extend(reader.catch_up().await);
    entries.extend(beside);
    let rule = "P1, P4: a slow link delays, and neither loses nor reorders";
    assert_in_order(rule, &entries, &found);
    stage.mend(Disruption::Heal).await;
    let last = numbered("last", 2);
    stage.append(&last).await;
    let rule = "P1: the reader goes on when the link is quick again";
    assert_in_order(rule, &last, &reader.catch_up().await);
    Ok(())
}

/// Contract: a call that is given up while its answer is on its way leaves the handle usable, and no later call is given
/// that answer.
pub(crate) async fn an_answer_that_comes_late_is_nobody_elses(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const DELAY: Duration = Duration::from_millis(15);
    const ROUNDS: usize = 8;
    const PAGE: usize = 3;
    let stage = Stage::fresh(&harness).await?;
    let entries = long(2 * ROUNDS);
    let cursors = cursors(&stage, &entries).await?;
    let mut kept = entries.clone();
    stage.disrupt(Disruption::Delay(DELAY)).await?;
    for round in 0..ROUNDS {
        // From before the request is sent to after the answer came.
        let patience = Duration::from_millis(7) * u32::try_from(round).unwrap_or_default();
        match round % 4 {
            0..=1 => {
                let mut first = Reader::at(stage.log.clone(), cursors[round].clone()).paged(PAGE);
                let _late = timeout(patience, first.attempt()).await;
            }
            2 => {
                let _late = timeout(patience, stage.log.head()).await;
            }
            _ => {
                let again = key(format!("given up/{round}"));
                let _late = timeout(patience, stage.log.append(&[again])).await;
            }
        }
        let at = 2 * ROUNDS - PAGE - round / 2;
        let mut second = Reader::at(stage.log.clone(), cursors[at].clone()).paged(PAGE);
        let seen = second.goes_on().await;
        let rule = format!(
            "P1: a read that follows a call which was given up after {patience:?} returns what stands behind its own \
             cursor"
        );
        assert_in_order(&rule, &entries[at..at + PAGE], &seen.entries);
        let entry = key(format!("kept/{round}"));
        stage.append(std::slice::from_ref(&entry)).await;
        kept.push(entry);
    }
    stage.mend(Disruption::Heal).await;
    let mut all = Reader::at(stage.log.clone(), cursors[0].clone());
    let rule = "P1: nothing is lost to calls that were given up";
    assert_in_order(rule, &kept, &among(&all.catch_up().await, &kept));
    Ok(())
}

/// Entries that are large enough for an answer to come in pieces.
fn long(count: usize) -> Vec<Entry> {
    (0..count)
        .map(|number| key(format!("{number}/{}", "x".repeat(8_000))))
        .collect()
}

/// Appends them; the cursors before each of them.
async fn cursors(stage: &Stage, entries: &[Entry]) -> Result<Vec<Cursor>, Unable> {
    let mut reader = stage.reader().await?.paged(1);
    stage.append(entries).await;
    let mut cursors = Vec::new();
    for _ in entries {
        cursors.push(reader.cursor.clone());
        reader.goes_on().await;
    }
    Ok(cursors)
}
