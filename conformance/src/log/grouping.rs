//! Callers that append at the same time.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::join_all;
use invalidation_core::{Entry, ErrorKind, LoggedEntry, Payload};

use super::{
    LogHarness,
    entries::{among, assert_exactly, assert_same, key, numbered, users},
    stage::{Stage, append},
};
use crate::Unable;

/// Contract: callers that append at the same time share transactions, as the backend counts them.
pub(crate) async fn appends_under_load_are_grouped(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const CALLERS: u64 = 200;
    let stage = Stage::fresh(&harness).await?;
    let before = stage.space.writes().await?;
    let callers = (0..CALLERS).map(|caller| {
        let log = stage.log.clone();
        async move { append(&log, &[key(caller.to_string())]).await }
    });
    join_all(callers).await;
    let after = stage.space.writes().await?;
    let transactions = after.checked_sub(before);
    let transactions = transactions.expect("expected a harness whose count of writes only grows");
    assert!(
        (1..=CALLERS / 2).contains(&transactions),
        "expected {CALLERS} appends at the same time to share at most half as many transactions, and found {transactions}"
    );
    Ok(())
}

/// Contract: an append that is too large fails for its own caller alone, and what is accepted is read, or widens.
pub(crate) async fn a_refused_append_fails_alone(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const MIB: usize = 1 << 20;
    // One that most statements hold and a small disk does not, and one that no statement holds.
    for mib in [5, 65] {
        let stage = Stage::fresh(&harness).await?;
        let mut reader = stage.reader().await?;
        let good = numbered("good", 60);
        let huge = key("y".repeat(mib * MIB));
        let mut callers: Vec<_> = good.iter().collect();
        callers.insert(good.len() / 2, &huge);
        let appends = callers
            .into_iter()
            .map(|entry| stage.log.append(std::slice::from_ref(entry)));
        let mut answers = join_all(appends).await;
        let refused = match answers.remove(good.len() / 2) {
            Ok(_) => false,
            Err(e) => {
                assert!(
                    matches!(e.kind, ErrorKind::TooLarge | ErrorKind::ReadOnly),
                    "expected an append of {mib} MiB to be refused for its size or for want of room, and found {:?}: {}",
                    e.kind,
                    e.message
                );
                true
            }
        };
        let mut places = HashSet::new();
        for answer in answers {
            match answer {
                Ok(positions) => places.extend(positions),
                Err(e) => panic!(
                    "expected a small append to succeed beside one of {mib} MiB, and it failed: {:?}: {}",
                    e.kind, e.message
                ),
            }
        }
        let rule = "P1: each entry has a position of its own";
        assert_same(rule, good.len(), places.len());
        let found = reader.catch_up().await;
        let rule = format!("P1: what was acknowledged beside an append of {mib} MiB is read");
        assert_exactly(&rule, &good, &among(&found, &good));
        let told = found.iter().filter(|logged| may_mean(logged, &huge));
        assert!(
            told.count() == usize::from(!refused)
                && found.len() == good.len() + usize::from(!refused),
            "P12: expected an entry of {mib} MiB to be read once, whole or as undecodable, if it was accepted, and not at \
             all if it was refused (refused: {refused}), and found {} entries beside {} small ones",
            found.len() - good.len(),
            good.len()
        );
    }
    Ok(())
}

/// Whether it is the entry, or widens to what it means.
fn may_mean(logged: &LoggedEntry, entry: &Entry) -> bool {
    match &logged.payload {
        Payload::Entry(read) => read == entry,
        Payload::Undecodable { cache, .. } => cache.as_ref().is_none_or(|cache| *cache == users()),
    }
}
