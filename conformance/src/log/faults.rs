//! Backends that refuse, are full, or go away.

use std::{sync::Arc, time::Duration};

use invalidation_core::{Entry, Error, ErrorKind, Invalidation, Scope};
use tokio::time::timeout;

use super::{
    LogHarness,
    entries::{among, assert_exactly, assert_in_order, assert_same, key, numbered, users},
    stage::Stage,
};
use crate::{
    Disruption, Unable,
    wait::{PATIENCE, eventually, within},
};

/// P2: a log that refuses to write says so, appends nothing, is read all the same, and writes again afterwards.
pub(crate) async fn a_read_only_log_says_so(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    refuses_writes(&harness, Disruption::ReadOnly, Disruption::Writable).await
}

/// P2: a full log says so, appends no part of anything, is read all the same, and writes again when there is room.
pub(crate) async fn a_full_log_says_so(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    refuses_writes(&harness, Disruption::Fill, Disruption::Empty).await
}

async fn refuses_writes(
    harness: &Arc<dyn LogHarness>,
    begins: Disruption,
    ends: Disruption,
) -> Result<(), Unable> {
    let stage = Stage::fresh(harness).await?;
    let mut reader = stage.reader().await?;
    let mut kept = numbered("before", 2);
    stage.append(&kept).await;
    stage.disrupt(begins).await?;
    // A small entry first, so that half of an append would fit; several times, since a little room may be left.
    let mut refused = 0;
    for round in 0..20 {
        let entries = [key(format!("{round}/small")), large(round)];
        match stage.log.append(&entries).await {
            Ok(_) => kept.extend(entries),
            Err(e) => {
                let rule = format!("P2: an append to a log that cannot write says so ({e})");
                assert_same(&rule, ErrorKind::ReadOnly, e.kind);
                refused += 1;
            }
        }
    }
    assert!(
        refused > 0,
        "P2: expected a log that is read-only or full ({begins:?}) to refuse one of 20 appends of 100 kB, and all \
         succeeded"
    );
    let rule =
        format!("P1, P2: {begins:?}: what was acknowledged, and no part of what was refused");
    let mut found = reader.catch_up().await;
    assert_in_order(&rule, &kept, &found);
    stage.mend(ends).await;
    let last = eventually!("the log writes again", {
        let last = key("last");
        let appended = stage.log.append(std::slice::from_ref(&last)).await;
        appended.is_ok().then_some(last)
    });
    kept.push(last);
    found.extend(reader.catch_up().await);
    assert_in_order("P1: the log works again", &kept, &found);
    Ok(())
}

fn large(round: usize) -> Entry {
    Entry::new(Invalidation::Cache {
        cache: users(),
        scope: Scope::keys([format!("{round}/{}", "x".repeat(100_000))]),
    })
}

/// P1, P10: after a server ended in an orderly way and started again nothing acknowledged is missing, or it is told.
pub(crate) async fn a_restart_keeps_or_tells(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    goes_away(&harness, Disruption::Stop, Disruption::Restart).await
}

/// P1, P10: after a server was killed nothing acknowledged is missing, as far as the log claims, or it is told.
pub(crate) async fn a_crash_keeps_or_tells(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    goes_away(&harness, Disruption::Kill, Disruption::Restart).await
}

/// P1, P4: while the link is cut calls fail as unavailable, and afterwards nothing is missing.
pub(crate) async fn a_cut_link_heals(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    goes_away(&harness, Disruption::Cut, Disruption::Heal).await
}

async fn goes_away(
    harness: &Arc<dyn LogHarness>,
    begins: Disruption,
    ends: Disruption,
) -> Result<(), Unable> {
    let stage = Stage::fresh(harness).await?;
    let mut behind = stage.reader().await?;
    let before = numbered("before", 5);
    for entry in &before {
        stage.append(std::slice::from_ref(entry)).await;
    }
    let mut ahead = stage.reader().await?;
    stage.disrupt(begins).await?;
    let calls = async {
        let append = stage.log.append(&[key("during")]).await.map(|_| ());
        let read = behind.attempt().await.map(|_| ());
        let head = stage.log.head().await.map(|_| ());
        [("append", append), ("read", read), ("head", head)]
    };
    let what = format!("calls during {begins:?} fail instead of hanging");
    for (call, result) in within(&what, PATIENCE, calls).await {
        let Err(e) = result else {
            panic!("P4: expected {call} to fail during {begins:?}, and it succeeded");
        };
        assert!(
            matches!(e.kind, ErrorKind::Unavailable | ErrorKind::TimedOut),
            "expected {call} to fail as unavailable or timed out during {begins:?}, and found {e:?}"
        );
    }
    stage.mend(ends).await;
    let after = eventually!("the log takes appends again", {
        let entry = key("after");
        let appended = stage.log.append(std::slice::from_ref(&entry)).await;
        appended.is_ok().then_some(entry)
    });
    let all = [&before[..], std::slice::from_ref(&after)].concat();
    for (reader, expected) in [(&mut behind, &all[..]), (&mut ahead, &all[5..])] {
        match reader.try_catch_up().await {
            Ok(found) => {
                let rule = format!(
                    "P1: after {begins:?} nothing acknowledged is missing, or the cursor expired"
                );
                assert_exactly(&rule, expected, &among(&found, expected));
            }
            Err(reason) => {
                assert!(
                    begins != Disruption::Cut,
                    "P1: expected to read on after a link was cut and healed, since nothing was lost, and found that the \
                     cursor expired ({reason})"
                );
                reader.catch_up().await;
            }
        }
    }
    let mut cold = stage.reader().await?;
    let entry = key("cold");
    stage.append(std::slice::from_ref(&entry)).await;
    assert_exactly(
        "P14: a cold node reads on",
        &[entry],
        &cold.catch_up().await,
    );
    Ok(())
}

/// P1, P4: a server that stops running for a while makes no read complete, and afterwards nothing is missing.
pub(crate) async fn a_paused_server_goes_on(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    falls_silent(&harness, Disruption::Pause, Disruption::Resume).await
}

/// P1, P4: a link through which nothing comes makes no read complete, and afterwards nothing is missing.
pub(crate) async fn a_black_hole_heals(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    falls_silent(&harness, Disruption::BlackHole, Disruption::Heal).await
}

async fn falls_silent(
    harness: &Arc<dyn LogHarness>,
    begins: Disruption,
    ends: Disruption,
) -> Result<(), Unable> {
    /// What a node waits for a read.
    const TIMEOUT: Duration = Duration::from_millis(400);
    let stage = Stage::fresh(harness).await?;
    let mut reader = stage.reader().await?;
    let mut kept = numbered("before", 3);
    stage.append(&kept).await;
    let dropped = numbered("during", 2);
    stage.disrupt(begins).await?;
    for _ in 0..2 {
        if let Ok(Ok(page)) = timeout(TIMEOUT, reader.attempt()).await {
            panic!("P4: expected no answer to a read during {begins:?}, and found {page:?}");
        }
    }
    let unknown = timeout(TIMEOUT, stage.log.append(&dropped)).await;
    assert!(
        !matches!(unknown, Ok(Ok(_))),
        "P1: expected no answer to an append during {begins:?}, and found it acknowledged"
    );
    stage.mend(ends).await;
    let after = eventually!("the log takes appends again", {
        let entry = key("after");
        let appended = timeout(PATIENCE, stage.log.append(std::slice::from_ref(&entry))).await;
        matches!(appended, Ok(Ok(_))).then_some(entry)
    });
    kept.push(after);
    let found = match reader.try_catch_up().await {
        Ok(found) => found,
        Err(reason) => panic!(
            "P1: expected to read on after the log was silent for a while ({begins:?}), since nothing was lost, and found \
             that the cursor expired ({reason})"
        ),
    };
    let rule = format!("P1: after {begins:?} nothing acknowledged is missing");
    assert_exactly(&rule, &kept, &among(&found, &kept));
    let there = among(&found, &dropped).len();
    assert!(
        there == 0 || there == dropped.len(),
        "P2: expected all entries of an append that was given up, or none, and found {there} of {}",
        dropped.len()
    );
    Ok(())
}

/// Contract: a node with fewer rights than it needs is told at once, by what it may not do, and changes nothing.
pub(crate) async fn a_node_without_rights_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let weak = stage.space.connect_without_rights().await?;
    let refused = |what: &str, e: Error| {
        assert!(
            matches!(e.kind, ErrorKind::Denied | ErrorKind::ReadOnly),
            "expected {what} without the rights for it to be denied, and found {e:?}"
        );
        assert!(
            !e.message.is_empty(),
            "expected the refusal of {what} to say what to do about it, and found no message"
        );
    };
    let entries = numbered("a", 2);
    let what = "a refusal for want of rights, which no retry can mend";
    match within(what, PATIENCE, weak.append(&entries)).await {
        Ok(_) => panic!("expected an append without the right to write to fail, and it succeeded"),
        Err(e) => refused("an append", e),
    }
    if let Err(e) = within(what, PATIENCE, weak.install()).await {
        refused("an installation", e);
    }
    assert_exactly("nothing was appended", &[], &reader.catch_up().await);
    stage.append(&entries).await;
    assert_in_order("others go on", &entries, &reader.catch_up().await);
    match within(what, PATIENCE, weak.head()).await {
        Err(e) => refused("a read", e),
        Ok(cursor) => {
            let mut weak = super::reader::Reader::at(weak, cursor);
            let more = [key("more")];
            stage.append(&more).await;
            let rule = "P1, P4: a node that may read reads, and who may not is told";
            assert_in_order(rule, &more, &weak.catch_up().await);
        }
    }
    Ok(())
}

/// P12: a row that only a newer version understands is read as undecodable, and hides nothing behind it.
pub(crate) async fn unknown_rows_are_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut all_at_once = stage.reader().await?;
    let mut one_by_one = stage.reader().await?.paged(1);
    let known = numbered("known", 3);
    stage.append(&known[..1]).await;
    stage.space.write_unknown_row().await?;
    stage.append(&known[1..2]).await;
    stage.space.write_unknown_row().await?;
    let mut found = all_at_once.catch_up().await;
    // The newest row, which is now the reader's witness, is one of them.
    assert_exactly("P1: nothing more", &[], &all_at_once.catch_up().await);
    stage.append(&known[2..]).await;
    found.extend(all_at_once.catch_up().await);
    for (found, how) in [
        (found, "at once"),
        (one_by_one.catch_up().await, "one by one"),
    ] {
        // In any order: somebody else wrote them.
        let mut shape: Vec<_> = found
            .iter()
            .map(|logged| match logged.payload {
                invalidation_core::Payload::Entry(_) => "known",
                invalidation_core::Payload::Undecodable { .. } => "undecodable",
            })
            .collect();
        shape.sort_unstable();
        let rule = format!("P12: each row of a newer version is told as undecodable, read {how}");
        let expected = ["known", "known", "known", "undecodable", "undecodable"];
        for logged in &found {
            if let invalidation_core::Payload::Undecodable {
                cache: Some(cache), ..
            } = &logged.payload
            {
                let rule = "P12: a row that cannot be decoded concerns its own cache, or all";
                assert_same(rule, &users(), cache);
            }
        }
        assert_same(&rule, &expected[..], &shape[..]);
        assert_in_order("P12: they hide nothing", &known, &among(&found, &known));
    }
    Ok(())
}
