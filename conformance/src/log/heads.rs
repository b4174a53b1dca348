//! Where a cold node begins, and what a cursor has passed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    LogHarness,
    entries::{among, assert_exactly, assert_in_order, key, numbered},
    reader::{Reader, head},
    stage::{Stage, append},
};
use crate::{Disruption, Unable};

/// P14: the head stands where it was when it was asked for: what is committed after is read, what was before is not.
pub(crate) async fn head_is_where_it_was_asked_for(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let empty = head(&stage.log).await;
    let first = numbered("first", 2);
    stage.append(&first).await;
    let between = head(&stage.node().await?).await;
    let second = numbered("second", 2);
    stage.append(&second).await;
    let after = head(&stage.log).await;

    let all = [first, second.clone()].concat();
    for (cursor, expected, what) in [
        (empty, &all[..], "the head of an empty log"),
        (between, &second, "a head taken between two appends"),
        (after, &[], "a head taken after both"),
    ] {
        let mut reader = Reader::at(stage.log.clone(), cursor);
        let rule = format!(
            "P14: {what} stands before all that is committed after it, and behind the rest"
        );
        assert_in_order(&rule, expected, &reader.catch_up().await);
    }
    Ok(())
}

/// P14: nothing that is committed after `head` returned is missed by a node that starts beside writers.
pub(crate) async fn a_cold_start_beside_writers(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const EACH: usize = 40;
    let stage = Stage::fresh(&harness).await?;
    let begun = Arc::new(AtomicUsize::new(0));
    let entries = numbered("a", EACH);
    let writer = tokio::spawn({
        let (log, begun, entries) = (stage.log.clone(), Arc::clone(&begun), entries.clone());
        async move {
            for (number, entry) in entries.iter().enumerate() {
                begun.store(number + 1, Ordering::SeqCst);
                append(&log, std::slice::from_ref(entry)).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut starts = Vec::new();
    let log = stage.node().await?;
    while !writer.is_finished() && starts.len() < 50 {
        let cursor = head(&log).await;
        // Whatever is appended from here on was committed after the head returned.
        starts.push((cursor, begun.load(Ordering::SeqCst)));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    writer.await.expect("every append succeeds");
    for (cursor, begun) in starts {
        let mut reader = Reader::at(log.clone(), cursor);
        let expected = &entries[begun..];
        let found = among(&reader.catch_up().await, expected);
        let rule = "P14: whatever was appended after head() returned is read from it";
        assert_in_order(rule, expected, &found);
    }
    Ok(())
}

/// P1: an entry of an open transaction is not covered, however far a cursor has read: ids are given before the commit.
pub(crate) async fn covers_nothing_that_is_open(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.concurrent_transactions()?;
    let mut reader = stage.reader().await?;
    let late = key("late");
    let mut transaction = stage.begin().await?;
    let positions = transaction.append(std::slice::from_ref(&late)).await;
    let positions =
        positions.expect("expected an append in a transaction to succeed, and it failed");
    for number in 0..3 {
        stage.append(&[key(number.to_string())]).await;
        reader.catch_up().await;
        assert!(
            !positions
                .iter()
                .any(|position| reader.log.covers(&reader.cursor, position)),
            "P1: expected a cursor not to cover the entry of a transaction that is still open, and found that it does"
        );
    }
    transaction.commit().await.expect("commits");
    let rule = "P1: what is committed late is read";
    assert_exactly(rule, &[late], &reader.catch_up().await);
    Ok(())
}

/// P1: `covers` is never true for what a cursor has not passed.
pub(crate) async fn covers_only_what_was_passed(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?.paged(1);
    let entries = numbered("a", 4);
    let positions = stage.append(&entries).await;
    let mut passed = 0;
    loop {
        for (number, position) in positions.iter().enumerate().skip(passed) {
            assert!(
                !reader.log.covers(&reader.cursor, position),
                "P1: expected a cursor that has passed {passed} entries not to cover entry {number}, and found that it does"
            );
        }
        if passed == entries.len() {
            break;
        }
        passed += reader.goes_on().await.entries.len();
    }
    let covered: Vec<_> = positions
        .iter()
        .map(|position| reader.log.covers(&reader.cursor, position))
        .collect();
    assert!(
        covered.windows(2).all(|pair| pair[0] || !pair[1]),
        "expected a cursor that covers a later entry of one append to cover the earlier ones, and found {covered:?}"
    );

    let elsewhere = Stage::fresh(&harness).await?;
    let other = elsewhere.append(&[key("other")]).await;
    for log in [&stage.log, &elsewhere.log] {
        assert!(
            !log.covers(&reader.cursor, &other[0]),
            "P10: expected a cursor not to cover a position of another log, and found that it does"
        );
    }
    Ok(())
}

/// P10: a cursor on a log that was made anew covers nothing of the old one, and its identity is another.
pub(crate) async fn a_new_log_covers_no_old_position(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let old = stage.append(&numbered("old", 2)).await;
    stage.disrupt(Disruption::Recreate).await?;
    let mut reader = stage.reader().await?;
    let entries = numbered("new", 4);
    let new = append(&reader.log, &entries).await;
    let rule = "P1: the new log is read";
    assert_exactly(rule, &entries, &reader.catch_up().await);
    for position in &old {
        assert_ne!(
            position.identity, new[0].identity,
            "P10: expected another identity of a log that was made anew, and found the same"
        );
        assert!(
            !reader.log.covers(&reader.cursor, position),
            "P10: expected a cursor not to cover a position of the log that stood there before, and found that it does"
        );
    }
    Ok(())
}
