//! What a log claims of itself, and whether it can.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use invalidation_core::{Entry, Nonce, Payload};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{
    LogHarness,
    entries::{assert_same, key, names, numbered},
    reader::Reader,
    stage::{Stage, append},
};
use crate::{
    Disruption, Unable,
    wait::{PATIENCE, eventually, within},
};

/// Contract: what the log claims of itself fits what it can do.
pub(crate) async fn claims_fit(harness: Arc<dyn LogHarness>, _seed: u64) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let claims = stage.log.capabilities();
    assert!(
        !claims.name.is_empty(),
        "expected the log to have a name, and found none"
    );
    let others = stage.node().await?.capabilities();
    assert_same("all handles claim the same", &claims, &others);
    let begun = stage.space.begin().await;
    assert!(
        begun.is_err() || claims.transactional,
        "P2: expected a log that entries join in a transaction to claim `transactional`, and found that it does not"
    );
    assert!(
        !claims.transactional
            || stage.log.joinable().is_some()
            || stage.log.statement(&[key("1")]).is_some(),
        "P2: expected a log that claims `transactional` to give a way to join, `joinable` or `statement`, and found \
         neither"
    );
    assert!(
        claims.transactional || stage.log.statement(&[key("1")]).is_none(),
        "P2: expected a log that does not claim `transactional` to give no statement to join with, and found one"
    );
    Ok(())
}

/// P1: a log that claims to keep what it acknowledged keeps it when its server is killed in the middle of the load.
pub(crate) async fn a_crash_keeps_what_was_acknowledged(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    claims_to_keep(&stage)?;
    let mut reader = stage.reader().await?;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    // Ended with the case, also when the harness cannot kill.
    let mut appenders = JoinSet::new();
    for appender in 0..4 {
        let (log, acknowledged) = (stage.node().await?, Arc::clone(&acknowledged));
        appenders.spawn(async move {
            for number in 0.. {
                let entry = key(format!("{appender}/{number}"));
                if log.append(std::slice::from_ref(&entry)).await.is_err() {
                    break;
                }
                acknowledged.lock().push(entry);
                // More would only have to be read again.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    eventually!(
        "appends are acknowledged",
        (acknowledged.lock().len() >= 40).then_some(())
    );
    stage.disrupt(Disruption::Kill).await?;
    within(
        "appends to a server that was killed fail",
        PATIENCE,
        appenders.join_all(),
    )
    .await;
    stage.mend(Disruption::Restart).await;
    let mut acknowledged = acknowledged.lock().clone();
    acknowledged.push(appends_again(&stage).await);
    assert_kept(&stage, &mut reader, "a crash", &acknowledged).await
}

/// P1: and when a standby takes over, what it had acknowledged before.
pub(crate) async fn a_failover_keeps_what_was_acknowledged(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    claims_to_keep(&stage)?;
    let mut reader = stage.reader().await?;
    let mut acknowledged = numbered("before", 10);
    for entry in &acknowledged {
        append(&stage.log, std::slice::from_ref(entry)).await;
    }
    stage.disrupt(Disruption::FailOver).await?;
    acknowledged.push(appends_again(&stage).await);
    assert_kept(&stage, &mut reader, "a failover", &acknowledged).await
}

fn claims_to_keep(stage: &Stage) -> Result<(), Unable> {
    if stage.log.capabilities().keeps_acknowledged {
        return Ok(());
    }
    Err(Unable::because(
        "the log does not claim to keep what it acknowledged: see the cases that it keeps it, or tells",
    ))
}

async fn appends_again(stage: &Stage) -> Entry {
    eventually!("the log takes appends again", {
        let entry = key("after");
        let appended = stage.log.append(std::slice::from_ref(&entry)).await;
        appended.is_ok().then_some(entry)
    })
}

/// A cursor that expired tells that something may be lost; the claim is that nothing is.
async fn assert_kept(
    stage: &Stage,
    reader: &mut Reader,
    what: &str,
    acknowledged: &[Entry],
) -> Result<(), Unable> {
    let stored: BTreeSet<Nonce> = match stage.space.stored().await {
        Ok(nonces) => nonces.into_iter().collect(),
        Err(unable) => {
            let Ok(found) = reader.try_catch_up().await else {
                return Err(Unable::because(format!(
                    "cursors expire in {what}, and {unable}"
                )));
            };
            let nonce = |payload| match payload {
                Payload::Entry(entry) => Some(entry.nonce),
                Payload::Undecodable { .. } => None,
            };
            let read = found.into_iter().map(|logged| logged.payload);
            read.filter_map(nonce).collect()
        }
    };
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|entry| !stored.contains(&entry.nonce))
        .collect();
    assert!(
        lost.is_empty(),
        "P1: expected each of {} acknowledged entries to outlive {what}, since the log claims `keeps_acknowledged`, and \
         found {} lost: {}",
        acknowledged.len(),
        lost.len(),
        names(lost)
    );
    Ok(())
}
