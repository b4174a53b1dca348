//! Pages: how large, how many, and what they claim.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;
use invalidation_core::Entry;
use parking_lot::Mutex;

use super::{
    LogHarness,
    entries::{among, assert_exactly, assert_in_order, assert_same, key, numbered},
    stage::{Stage, append},
};
use crate::Unable;

/// P1: a series of pages, each at most as large as asked for and never empty for that, holds everything.
pub(crate) async fn pages_hold_everything(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let start = stage.reader().await?;
    let entries = numbered("a", 20);
    for part in entries.chunks(3) {
        stage.append(part).await;
    }
    for max_entries in [0, 1, 2, 3, 7, 19, 20, 21, u32::MAX as usize, usize::MAX] {
        let mut reader =
            super::reader::Reader::at(stage.log.clone(), start.cursor.clone()).paged(max_entries);
        if max_entries == usize::MAX {
            reader.max_bytes = usize::MAX;
        }
        let rule = format!("P1: pages of at most {max_entries} hold everything, once and in order");
        assert_in_order(&rule, &entries, &reader.catch_up().await);
    }
    Ok(())
}

/// Contract: a page stops after about `max_bytes`, and holds at least one entry all the same.
pub(crate) async fn pages_stop_at_max_bytes(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const LARGE: usize = 2_000;
    let stage = Stage::fresh(&harness).await?;
    let start = stage.reader().await?;
    let entries: Vec<Entry> = (0..12)
        .map(|number| key(format!("{number}/{}", "x".repeat(LARGE))))
        .collect();
    stage.append(&entries).await;
    for (max_bytes, most) in [(0, 1), (1, 1), (LARGE * 3, 6)] {
        let mut reader = super::reader::Reader::at(stage.log.clone(), start.cursor.clone());
        reader.max_bytes = max_bytes;
        let mut found = Vec::new();
        for _ in 0..entries.len() {
            let seen = reader.goes_on().await;
            let left = entries.len() - found.len();
            assert!(
                (1..=most).contains(&seen.entries.len()),
                "P1, P4: expected a page of about {max_bytes} bytes to hold 1 to {most} entries of {LARGE}, and found {}",
                seen.entries.len()
            );
            let rule = "P4: a page that was cut short by max_bytes is not complete";
            assert_same(rule, seen.entries.len() == left, seen.complete.is_some());
            found.extend(seen.entries);
            if found.len() == entries.len() {
                break;
            }
        }
        assert_in_order("P1: small pages hold everything", &entries, &found);
    }
    Ok(())
}

/// P4: a page is complete only when nothing is left behind it.
pub(crate) async fn complete_only_when_nothing_is_left(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?.paged(2);
    let seen = reader.goes_on().await;
    let rule = "P20: a page behind which there is nothing is empty, and complete";
    assert_same(
        rule,
        (0, true),
        (seen.entries.len(), seen.complete.is_some()),
    );
    let entries = numbered("a", 5);
    stage.append(&entries).await;
    let mut found = Vec::new();
    while found.len() < entries.len() {
        let seen = reader.goes_on().await;
        found.extend(seen.entries);
        let left = entries.len() - found.len();
        if left > 0 {
            let rule = format!("P4: a page that leaves {left} entries behind is not complete");
            assert_same(&rule, None, seen.complete);
        }
    }
    assert_in_order("P1: the series holds everything", &entries, &found);
    let seen = reader.goes_on().await;
    assert_same(
        rule,
        (0, true),
        (seen.entries.len(), seen.complete.is_some()),
    );
    Ok(())
}

/// P4: `AsOf` is no later than the start of the page or its series, in each page and each gap.
pub(crate) async fn as_of_is_never_later_than_the_start(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    // The reader asserts it of every page that it reads.
    let mut reader = stage.reader().await?.paged(2);
    reader.catch_up().await;
    for round in 0..3 {
        stage.append(&numbered(&round.to_string(), 5)).await;
        reader.catch_up().await;
    }
    reader.cursor = invalidation_core::Cursor::from_bytes(b"no cursor".to_vec());
    reader.expects_expired("the cursor is no cursor").await;
    Ok(())
}

/// P4: what was appended between two pages of a series has been returned by the page that is complete as of a start after
/// it: a log whose first page fixes what the series returns claims no later start than that page's.
pub(crate) async fn a_series_claims_no_more_than_it_holds(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    for pages in 1..4 {
        let mut reader = stage.reader().await?.paged(2);
        let mut entries = numbered(&format!("{pages}/before"), 7);
        stage.append(&entries).await;
        let mut found = Vec::new();
        for _ in 0..pages {
            found.extend(reader.goes_on().await.entries);
        }
        let between = numbered(&format!("{pages}/between"), 3);
        stage.append(&between).await;
        entries.extend(between);
        // Until a page is complete as of a start after the last append.
        found.extend(reader.catch_up().await);
        let rule = format!(
            "P4: what was appended after page {pages} of a series has been returned by a page that is complete as of a \
             later start"
        );
        assert_in_order(&rule, &entries, &found);
    }
    Ok(())
}

/// P3, P4: whatever was acknowledged before the start that a page is complete as of has been returned by then.
pub(crate) async fn a_complete_read_holds_all_before_its_start(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?.paged(3);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut writers = Vec::new();
    for writer in 0..3 {
        let log = stage.node().await?;
        let acknowledged = Arc::clone(&acknowledged);
        writers.push(tokio::spawn(async move {
            for entry in numbered(&writer.to_string(), 30) {
                append(&log, std::slice::from_ref(&entry)).await;
                acknowledged.lock().push(entry);
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut found = Vec::new();
    // How many were acknowledged before each read began.
    let mut before = HashMap::new();
    // The first read that began after the last append.
    let mut last = None;
    loop {
        if writers.iter().all(|writer| writer.is_finished()) {
            last = last.or(Some(reader.next_number()));
        }
        before.insert(reader.next_number(), acknowledged.lock().len());
        let seen = reader.goes_on().await;
        found.extend(seen.entries);
        if let Some(as_of) = seen.complete {
            // A read that was asked again has a number that was not noted; its start is later, so nothing is claimed.
            if let Some(count) = before.get(&as_of.number()) {
                let expected = acknowledged.lock()[..*count].to_vec();
                let rule = format!(
                    "P4: complete as of read {}: all acknowledged before it began has been returned",
                    as_of.number()
                );
                assert_exactly(&rule, &expected, &among(&found, &expected));
            }
            if last.is_some_and(|last| as_of.number() >= last) {
                break;
            }
        }
    }
    for result in join_all(writers).await {
        result.expect("every append succeeds");
    }
    let all = acknowledged.lock().clone();
    assert_exactly("P1: each entry once", &all, &found);
    Ok(())
}

/// P1: pages that are read while others append hold each entry once.
pub(crate) async fn paging_beside_writers(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut readers = [
        stage.reader().await?.paged(1),
        stage.reader().await?.paged(3),
    ];
    let first = numbered("backlog", 30);
    stage.append(&first).await;
    let mut writers = Vec::new();
    for writer in 0..2 {
        let log = stage.node().await?;
        writers.push(tokio::spawn(async move {
            let entries = numbered(&writer.to_string(), 60);
            for part in entries.chunks(2) {
                append(&log, part).await;
            }
            entries
        }));
    }
    let mut found = [Vec::new(), Vec::new()];
    while !writers.iter().all(|writer| writer.is_finished()) {
        for (reader, found) in readers.iter_mut().zip(&mut found) {
            found.extend(reader.goes_on().await.entries);
        }
    }
    let mut all = first;
    for writer in writers {
        all.extend(writer.await.expect("every append succeeds"));
    }
    for (mut reader, mut found) in readers.into_iter().zip(found) {
        found.extend(reader.catch_up().await);
        let rule = format!(
            "P1: pages of {} beside writers hold each entry once",
            reader.max_entries
        );
        assert_exactly(&rule, &all, &found);
    }
    Ok(())
}
