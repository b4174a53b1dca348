//! Reading on from a cursor.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use invalidation_core::{Cursor, GapReason};

use super::{
    LogHarness,
    entries::{assert_exactly, assert_in_order, assert_same, key, numbered},
    reader::{Reader, head},
    stage::Stage,
};
use crate::{
    Unable,
    wait::{PATIENCE, eventually, within},
};

/// P1: each cursor yields each entry once, whatever other readers read and in pages of whatever size.
pub(crate) async fn each_entry_once_per_cursor(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut readers = Vec::new();
    for max_entries in [1, 2, 5, 1_000] {
        readers.push((stage.reader().await?.paged(max_entries), Vec::new()));
    }
    let mut all = Vec::new();
    for round in 0..4 {
        for entry in numbered(&round.to_string(), 5) {
            stage.append(std::slice::from_ref(&entry)).await;
            all.push(entry);
            for (reader, found) in readers.iter_mut().take(2) {
                found.extend(reader.catch_up().await);
            }
        }
        for (reader, found) in &mut readers {
            found.extend(reader.catch_up().await);
        }
    }
    for (reader, found) in readers {
        let rule = format!(
            "P1: a reader with pages of {} reads each entry once, in order",
            reader.max_entries
        );
        assert_in_order(&rule, &all, &found);
    }
    Ok(())
}

/// Contract: a cursor is a value: reading moves nothing in the log, and its text serves another node as well.
pub(crate) async fn a_cursor_is_a_value(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let cursor = head(&stage.log).await;
    let entries = numbered("a", 3);
    stage.append(&entries).await;
    for _ in 0..2 {
        let mut reader = Reader::at(stage.log.clone(), cursor.clone());
        let rule = "reading twice from one cursor gives the same";
        assert_in_order(rule, &entries, &reader.catch_up().await);
    }
    let text = cursor.to_string();
    let parsed: Cursor = text.parse().expect("the text of a cursor is one");
    let mut other = Reader::at(stage.node().await?, parsed).paged(2);
    let rule = "another node reads on from a cursor's text";
    assert_in_order(rule, &entries, &other.catch_up().await);
    Ok(())
}

/// Contract: a cursor is a value: several read on from theirs through one handle, in turn and at once, and each gets its own.
pub(crate) async fn cursors_of_one_handle_are_apart(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const STEP: usize = 4;
    let stage = Stage::fresh(&harness).await?;
    let mut walker = stage.reader().await?.paged(STEP);
    let entries = numbered("a", 10 * STEP);
    stage.append(&entries).await;
    let mut cursors = Vec::new();
    for _ in 0..10 {
        cursors.push(walker.cursor.clone());
        walker.goes_on().await;
    }
    let at = |number: usize| Reader::at(stage.log.clone(), cursors[number].clone());

    let mut readers = [at(0).paged(3), at(2).paged(2), at(5).paged(5)];
    let mut found = [const { Vec::new() }; 3];
    for _ in 0..3 {
        for (reader, found) in readers.iter_mut().zip(&mut found) {
            found.extend(reader.goes_on().await.entries);
        }
    }
    for ((reader, found), from) in readers.iter_mut().zip(&mut found).zip([0, 2, 5]) {
        found.extend(reader.catch_up().await);
        let rule = format!(
            "P1: who reads from entry {} in turn with others",
            from * STEP
        );
        assert_in_order(&rule, &entries[from * STEP..], found);
    }

    for _ in 0..5 {
        let reads = (0..10).rev().map(|from| {
            let mut reader = at(from).paged(2);
            async move { (from * STEP, reader.goes_on().await.entries) }
        });
        for (from, found) in join_all(reads).await {
            let rule = format!("P1: who reads from entry {from} at the same time as others");
            assert_in_order(&rule, &entries[from..from + 2], &found);
        }
    }
    Ok(())
}

/// P16: a read that waits for an entry keeps no other call of its handle waiting.
pub(crate) async fn a_waiting_read_holds_nobody_up(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    /// Far longer than a call takes, and far shorter than the read waits.
    const SOON: Duration = Duration::from_secs(10);
    let stage = Stage::fresh(&harness).await?;
    let mut reader = Reader::cold(stage.log.clone()).await;
    reader.wait = Some(PATIENCE * 2);
    let entry = key("1");
    let waiting = async {
        eventually!("the entry is read", {
            let found = reader.catch_up().await;
            (!found.is_empty()).then_some(found)
        })
    };
    let beside = async {
        // After the read began to wait, most of the time; both orders must work.
        tokio::time::sleep(Duration::from_millis(50)).await;
        within("head beside a read that waits", SOON, head(&stage.log)).await;
        let append = stage.append(std::slice::from_ref(&entry));
        within("an append beside a read that waits", SOON, append).await;
    };
    let (found, ()) = tokio::join!(waiting, beside);
    let rule = "the waiting read ends with what its own handle appended";
    assert_exactly(rule, std::slice::from_ref(&entry), &found);
    Ok(())
}

/// P10: bytes that are no cursor of this log are an expired cursor with a way on, never an error or a panic.
pub(crate) async fn an_unreadable_cursor_expires(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.append(&[key("before")]).await;
    let good = head(&stage.log).await.as_bytes().to_vec();
    let mut long = good.clone();
    long.push(0);
    let bad = [
        vec![],
        b"?".to_vec(),
        good[..good.len() - 1].to_vec(),
        long,
        vec![0xff; 2_000],
    ];
    for bytes in bad {
        let mut reader = Reader::at(stage.log.clone(), Cursor::from_bytes(bytes));
        let reason = reader.expects_expired("the cursor is no cursor").await;
        let rule = "P10: the gap's reason is named";
        assert_same(rule, GapReason::CursorUnreadable, reason);
        let entry = key("after");
        stage.append(std::slice::from_ref(&entry)).await;
        let rule = "after a gap the reader goes on from the cursor it was given";
        assert_exactly(rule, &[entry], &reader.catch_up().await);
    }
    // Damaged within: it may still mean something, but must not panic or fail.
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        let mut reader = Reader::at(stage.log.clone(), Cursor::from_bytes(bytes));
        let _either = reader.page().await;
    }
    Ok(())
}

/// Contract: a read that may wait is over when an entry comes, or at once for a log that cannot wait.
pub(crate) async fn a_waiting_read_ends_with_an_entry(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    reader.wait = Some(Duration::from_millis(20));
    let what = "a read that may wait 20 ms for nothing";
    let none = within(what, Duration::from_secs(10), reader.catch_up()).await;
    assert_exactly("nothing was appended", &[], &none);

    reader.wait = Some(PATIENCE * 2);
    let entry = key("1");
    let waiting = async {
        eventually!("the entry is read", {
            let found = reader.catch_up().await;
            (!found.is_empty()).then_some(found)
        })
    };
    let appending = async {
        // After the read began to wait, most of the time; both orders must work.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stage.append(std::slice::from_ref(&entry)).await;
    };
    let (found, ()) = tokio::join!(waiting, appending);
    assert_exactly("a waiting read ends with what came", &[entry], &found);
    Ok(())
}
