//! A handle's life: installing, dropped calls, closing, and what it claims.

use std::{future::Future, sync::Arc, task::Poll, time::Duration};

use futures_util::future::join_all;
use invalidation_core::{Error, ErrorKind, ReadRequest, ReadStart, SharedLog, Tick};

use super::{
    LogHarness, LogSpace,
    entries::{among, assert_exactly, assert_in_order, assert_same, key, numbered},
    reader::{Reader, head},
    stage::{Stage, append},
};
use crate::{
    Unable,
    wait::{PATIENCE, within},
};

/// Contract: many nodes that install one log at the same time all succeed, and share one log.
pub(crate) async fn nodes_install_at_once(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    for _ in 0..3 {
        let space: Arc<dyn LogSpace> = harness.fresh().await?.into();
        let mut logs = Vec::new();
        for _ in 0..6 {
            logs.push(space.connect().await?);
        }
        let starts: Vec<_> = logs
            .into_iter()
            .enumerate()
            .map(|(number, log)| {
                tokio::spawn(async move {
                    let installed = log.install().await;
                    installed.expect("expected install to succeed beside others, and it failed");
                    let reader = Reader::cold(log.clone()).await;
                    let entry = key(number.to_string());
                    append(&log, std::slice::from_ref(&entry)).await;
                    (reader, entry)
                })
            })
            .collect();
        let mut nodes = Vec::new();
        for start in starts {
            nodes.push(start.await.expect("every node starts"));
        }
        for (reader, entry) in &mut nodes {
            let own = among(&reader.catch_up().await, std::slice::from_ref(entry));
            let rule = "what a node appended stays when others install";
            assert_exactly(rule, std::slice::from_ref(entry), &own);
        }
        let last = [key("last")];
        append(&nodes[0].0.log, &last).await;
        for (reader, _) in &mut nodes {
            let rule = "all nodes that installed at the same time share one log";
            assert_exactly(rule, &last, &reader.catch_up().await);
        }
    }
    Ok(())
}

/// Contract: install is idempotent: entries, cursors and the identity outlive it.
pub(crate) async fn install_is_idempotent(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let first = numbered("first", 2);
    let before = stage.append(&first).await;
    let again = stage.log.install().await;
    again.expect("expected another install to succeed, and it failed");
    let other = stage.node().await?;
    let second = numbered("second", 2);
    let after = append(&other, &second).await;
    let rule = "another install does not change the log's identity";
    assert_same(rule, &before[0].identity, &after[0].identity);
    let all = [first, second].concat();
    let rule = "another install loses no entry and expires no cursor";
    assert_in_order(rule, &all, &reader.catch_up().await);
    Ok(())
}

/// Contract: calls that are dropped at any point leave the log as usable as before, and reads lose nothing.
pub(crate) async fn dropped_calls_leave_the_log_usable(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let cursor = head(&stage.log).await;
    let mut kept = numbered("a", 40);
    stage.append(&kept).await;
    for polls in 1..25 {
        let request = ReadRequest::new(&cursor, ReadStart::new(Tick::from_nanos(1), 1));
        dropped_after(polls, stage.log.read(request)).await;
        dropped_after(polls, stage.log.head()).await;
        dropped_after(polls, stage.log.install()).await;
        dropped_after(polls, stage.log.purge(Duration::from_secs(3_600))).await;
        let mut reader = Reader::at(stage.log.clone(), cursor.clone());
        let rule = format!("P1: nothing is lost to calls that were dropped after {polls} polls");
        let found = within("a read after dropped calls", PATIENCE, reader.catch_up()).await;
        assert_in_order(&rule, &kept, &found);
        let entry = key(format!("after/{polls}"));
        let one = std::slice::from_ref(&entry);
        within(
            "an append after dropped calls",
            PATIENCE,
            append(&stage.log, one),
        )
        .await;
        kept.push(entry);
    }
    Ok(())
}

/// Contract: an append that is dropped happened as a whole or not at all, and takes no other caller's with it.
pub(crate) async fn a_dropped_append_is_whole_or_nothing(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let mut kept = Vec::new();
    let mut dropped = Vec::new();
    for round in 0..40 {
        let pair = numbered(&format!("{round}/dropped"), 2);
        let stays = key(format!("{round}/kept"));
        let beside = tokio::spawn({
            let (log, stays) = (stage.log.clone(), stays.clone());
            async move { append(&log, &[stays]).await }
        });
        dropped_after(round % 6 + 1, stage.log.append(&pair)).await;
        let what = "an append beside one that was dropped";
        let beside = within(what, PATIENCE, beside).await;
        beside.expect("an append beside one that was dropped succeeds");
        kept.push(stays);
        dropped.push(pair);
    }
    let last = key("last");
    stage.append(std::slice::from_ref(&last)).await;
    kept.push(last);
    let found = reader.catch_up().await;
    let rule = "P1: whatever was acknowledged beside dropped appends is read";
    assert_in_order(rule, &kept, &among(&found, &kept));
    for pair in &dropped {
        let there = among(&found, pair).len();
        assert!(
            there == 0 || there == 2,
            "P2: expected both entries of a dropped append, or none, and found {there}"
        );
    }
    Ok(())
}

/// P13: after a purge that was dropped half way a reader finds all that it deleted to be told, or still there.
pub(crate) async fn a_dropped_purge_hides_nothing(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.purges()?;
    let other = stage.node().await?;
    for polls in 1..16 {
        let mut reader = Reader::cold(other.clone()).await;
        let entries = numbered(&polls.to_string(), 4);
        stage.append(&entries).await;
        dropped_after(polls, stage.log.purge(Duration::ZERO)).await;
        if let Ok(found) = within(
            "a read after a dropped purge",
            PATIENCE,
            reader.try_catch_up(),
        )
        .await
        {
            let rule = format!(
                "P13: a purge dropped after {polls} polls: the cursor expires, or nothing is missing"
            );
            assert_in_order(&rule, &entries, &found);
        }
        let last = [key("last")];
        let appended = append(&stage.log, &last);
        within("an append after a dropped purge", PATIENCE, appended).await;
        assert_exactly("P1: the log goes on", &last, &reader.catch_up().await);
    }
    Ok(())
}

/// P2, P16: a transaction that is dropped in the middle of an append leaves nothing behind and holds no lock.
pub(crate) async fn a_dropped_join_leaves_nothing(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let mut kept = Vec::new();
    for polls in 1..12 {
        let mut transaction = stage.begin().await?;
        dropped_after(polls, transaction.append(&numbered("dropped", 2))).await;
        drop(transaction);
        let entry = key(polls.to_string());
        let one = std::slice::from_ref(&entry);
        within(
            "an append after a dropped transaction",
            PATIENCE,
            append(&stage.log, one),
        )
        .await;
        kept.push(entry);
    }
    let rule = "P2: nothing of dropped transactions is read";
    assert_in_order(rule, &kept, &reader.catch_up().await);
    Ok(())
}

/// Contract: closing twice is no error, every later call says that the handle is closed, and others go on.
pub(crate) async fn close_is_idempotent(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut other = stage.reader().await?;
    let closed = stage.node().await?;
    let cursor = head(&closed).await;
    for _ in 0..2 {
        closed.close().await.expect("closes, once or again");
    }
    for (call, e) in errors_of(&closed, &cursor).await {
        let found = e.map(|e| e.kind);
        let rule = format!("{call} fails on a closed handle, as closed");
        assert_same(&rule, Some(ErrorKind::Closed), found);
    }
    let entry = key("other");
    stage.append(std::slice::from_ref(&entry)).await;
    let rule = "closing one handle ends no other";
    assert_exactly(rule, &[entry], &other.catch_up().await);
    Ok(())
}

/// P1: calls in flight while the log is closed end, and whatever they acknowledged is there.
pub(crate) async fn close_beside_calls(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let closing = stage.node().await?;
    let cursor = head(&closing).await;
    let appends: Vec<_> = numbered("a", 40)
        .into_iter()
        .map(|entry| {
            let log = closing.clone();
            tokio::spawn(async move {
                log.append(std::slice::from_ref(&entry))
                    .await
                    .map(|_| entry)
            })
        })
        .collect();
    let waiting = tokio::spawn({
        let log = closing.clone();
        async move {
            let mut request = ReadRequest::new(&cursor, ReadStart::new(Tick::from_nanos(1), 1));
            request.wait = Some(PATIENCE * 2);
            log.read(request).await.map(|_| ())
        }
    });
    tokio::task::yield_now().await;
    within("closing beside calls", PATIENCE, closing.close())
        .await
        .expect("closes");
    let mut acknowledged = Vec::new();
    let ends = within("every call in flight ends", PATIENCE, async {
        (join_all(appends).await, waiting.await)
    });
    let (appends, waiting) = ends.await;
    for append in appends {
        match append.expect("an append does not panic") {
            Ok(entry) => acknowledged.push(entry),
            Err(e) => assert_same("an append beside close", ErrorKind::Closed, e.kind),
        }
    }
    if let Err(e) = waiting.expect("a read does not panic") {
        assert_same("a read beside close", ErrorKind::Closed, e.kind);
    }
    let found = reader.catch_up().await;
    let rule = "P1: whatever was acknowledged while the log was closed is read by others";
    assert_exactly(rule, &acknowledged, &among(&found, &acknowledged));
    Ok(())
}

/// What each call says on this handle.
pub(super) async fn errors_of(
    log: &SharedLog,
    cursor: &invalidation_core::Cursor,
) -> Vec<(&'static str, Option<Error>)> {
    let request = ReadRequest::new(cursor, ReadStart::new(Tick::from_nanos(1), 1));
    vec![
        ("install", log.install().await.err()),
        ("head", log.head().await.err()),
        ("append", log.append(&[key("1")]).await.err()),
        ("read", log.read(request).await.err()),
        ("purge", log.purge(Duration::ZERO).await.err()),
    ]
}

/// Polls `future` at most so many times, then drops it.
async fn dropped_after<F: Future>(polls: usize, future: F) {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if poll.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
