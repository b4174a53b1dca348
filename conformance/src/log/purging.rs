//! What a purge deletes, and who is told.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use invalidation_core::{Entry, GapReason, LoggedEntry, Payload, SharedLog};
use rand::RngExt as _;

use super::{
    LogHarness,
    entries::{assert_exactly, assert_in_order, assert_same, key, numbered},
    reader::Reader,
    stage::Stage,
};
use crate::{
    Disruption, Unable,
    seed::random,
    wait::{PATIENCE, eventually},
};

/// P13: a cursor that has not passed what was purged is told, whether it had read something or not; one that has
/// passed it reads on.
pub(crate) async fn a_purge_past_a_reader_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    past_a_reader(&harness, Goes::ByPurge).await
}

/// P13: so it is when the server trims by itself, whatever reason is named.
pub(crate) async fn a_trim_past_a_reader_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    past_a_reader(&harness, Goes::ByTrim).await
}

async fn past_a_reader(harness: &Arc<dyn LogHarness>, goes: Goes) -> Result<(), Unable> {
    let stage = Stage::fresh(harness).await?;
    goes.is_possible(&stage)?;
    let mut from_the_start = stage.reader().await?;
    stage.append(&[key("read")]).await;
    let mut behind = stage.reader().await?;
    stage.append(&numbered("missed", 4)).await;
    let mut ahead = stage.reader().await?;
    let last = key("last");
    stage.append(std::slice::from_ref(&last)).await;
    goes.all_but_the_newest(&stage, 3).await?;
    // Who starts now and installs must not forget what went.
    stage.node().await?;
    for (reader, what) in [
        (&mut from_the_start, "a reader that had read nothing"),
        (&mut behind, "a reader that had read one entry"),
    ] {
        let lost = format!("entries that {what} had not passed went {goes}");
        let reason = reader.expects_expired(&lost).await;
        if goes == Goes::ByPurge {
            assert_same("P10: the gap's reason is named", GapReason::Purged, reason);
        }
        let rule = "after the gap there is nothing more to read";
        assert_exactly(rule, &[], &reader.catch_up().await);
    }
    match ahead.try_catch_up().await {
        Ok(found) => {
            let rule = "P13: one who had passed all that went reads on";
            assert_exactly(rule, &[last], &found);
        }
        // Its witness may have gone, which a purge knows and a trim does not.
        Err(_) if goes == Goes::ByTrim => {}
        Err(reason) => panic!(
            "P13: expected one who had passed all that was purged to read on, and found that the cursor expired ({reason})"
        ),
    }
    let more = numbered("more", 2);
    stage.append(&more).await;
    for reader in [&mut from_the_start, &mut behind, &mut ahead] {
        let rule = "P1: all readers go on after that";
        assert_in_order(rule, &more, &reader.catch_up().await);
    }
    Ok(())
}

/// P13: a purge between two pages of one series is told.
pub(crate) async fn a_purge_between_two_pages_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    between_two_pages(&harness, Goes::ByPurge).await
}

/// P13: so is a trim.
pub(crate) async fn a_trim_between_two_pages_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    between_two_pages(&harness, Goes::ByTrim).await
}

async fn between_two_pages(harness: &Arc<dyn LogHarness>, goes: Goes) -> Result<(), Unable> {
    let stage = Stage::fresh(harness).await?;
    goes.is_possible(&stage)?;
    let mut reader = stage.reader().await?.paged(1);
    stage.append_each(&numbered("a", 6)).await;
    let seen = reader.goes_on().await;
    let rule = "P4: the first of several pages is not complete";
    assert_same(rule, (1, None), (seen.entries.len(), seen.complete));
    goes.all_but_the_newest(&stage, 4).await?;
    let lost = format!("entries that later pages of the series would have held went {goes}");
    reader.expects_expired(&lost).await;
    Ok(())
}

/// P13: a purge keeps the newest entry, which is the witness of all who have read it; they read on as before.
pub(crate) async fn a_purge_keeps_the_newest(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.purges()?;
    let purged = stage.log.purge(Duration::ZERO).await.expect("purges");
    assert_same("P13: there was nothing to purge", 0, purged.entries);
    let entries = numbered("a", 5);
    stage.append_each(&entries).await;
    let mut reader = stage.reader().await?;
    let total = purge_at_least(&stage.log, 4).await;
    let rule = "P13: of 5 entries all but the newest are purged";
    assert_same(rule, 4, total);
    for round in 0..3 {
        let rule = "P13: one who has read everything reads on after a purge";
        assert_exactly(rule, &[], &reader.catch_up().await);
        let entry = key(round.to_string());
        stage.append(std::slice::from_ref(&entry)).await;
        let mut cold = stage.reader().await?;
        assert_exactly(rule, &[entry], &reader.catch_up().await);
        purge_at_least(&stage.log, 1).await;
        let rule = "P14: a cold node starts behind everything, purged or not";
        assert_exactly(rule, &[], &cold.catch_up().await);
    }
    Ok(())
}

/// Contract: what is younger than the retention stays, also beside what is older.
pub(crate) async fn a_purge_keeps_what_is_younger(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let entries = numbered("a", 5);
    stage.append(&entries).await;
    for retention in [Duration::from_secs(3_600), Duration::MAX] {
        let purged = stage.log.purge(retention).await.expect("purges");
        let rule = format!("P13: no entry is older than {retention:?}, and purged");
        assert_same(&rule, 0, purged.entries);
    }
    let rule = "P13: entries younger than the retention are still read";
    assert_in_order(rule, &entries, &reader.catch_up().await);
    if stage.space.purges().is_ok() {
        younger_beside_older(&stage).await;
    }
    Ok(())
}

/// Who purges too much for having something to purge, or takes seconds for less, takes these too.
async fn younger_beside_older(stage: &Stage) {
    const RETENTION: Duration = Duration::from_secs(2);
    for round in 0..10 {
        tokio::time::sleep(RETENTION).await;
        let (mut reader, began) = (stage.reader().await.expect("connects"), Instant::now());
        let entries = numbered(&round.to_string(), 5);
        stage.append(&entries).await;
        tokio::time::sleep(RETENTION / 20).await;
        stage.log.purge(RETENTION).await.expect("purges");
        let age = began.elapsed();
        if age < RETENTION / 2 {
            let found = reader.try_catch_up().await.unwrap_or_default();
            let rule = format!(
                "P13: entries of at most {age:?} stay when older ones are purged with a retention of {RETENTION:?}"
            );
            return assert_in_order(&rule, &entries, &found);
        }
    }
    panic!("expected one of 10 purges to be quicker than {RETENTION:?}, and none was");
}

/// Contract: what is older than the retention goes.
pub(crate) async fn a_purge_takes_what_is_older(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.purges()?;
    stage.append(&numbered("a", 5)).await;
    stage.append(&numbered("b", 5)).await;
    eventually!(
        "expected a purge to take what is older than 50 ms, and it came to nothing",
        {
            let purged = stage.log.purge(Duration::from_millis(50)).await;
            (purged.expect("purges").entries > 0).then_some(())
        }
    );
    Ok(())
}

/// P13: a purge beside a read that is under way is told, or the read holds all that went: what a read looks at first, and
/// what it returns, are of one moment. So it is with a read that waits for the entries which are purged.
pub(crate) async fn a_purge_beside_a_read_is_told(
    harness: Arc<dyn LogHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.purges()?;
    let mut random = random(seed);
    let mut reader = stage.reader().await?;
    for round in 0..80 {
        let waits = round % 2 == 1;
        let entries = numbered(&round.to_string(), 4);
        if !waits {
            stage.append(&entries).await;
        }
        let (yields, pause) = (random.random_range(0..20), random.random_range(0..3));
        let beside = async {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if waits {
                stage.append(&entries).await;
            }
            stage.log.purge(Duration::ZERO).await.expect("purges");
        };
        reader.wait = waits.then_some(PATIENCE * 2);
        let (read, ()) = tokio::join!(reader.try_catch_up(), beside);
        reader.wait = None;
        // One that cannot wait, or did not begin to, reads on.
        if let (Ok(mut found), Ok(more)) = (read, reader.try_catch_up().await) {
            found.extend(more);
            let how = if waits { "waited" } else { "was under way" };
            let rule = format!(
                "P13: round {round}: a purge beside a read that {how}: the cursor expires, or nothing is missing"
            );
            assert_in_order(&rule, &entries, &found);
        }
    }
    Ok(())
}

/// P13, P16: readers beside appends and purges read each entry once or are told of a gap, and none is skipped.
pub(crate) async fn readers_beside_purges(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    readers_beside(&harness, Goes::ByPurge).await
}

/// P13: and so they do beside trims.
pub(crate) async fn readers_beside_trims(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    readers_beside(&harness, Goes::ByTrim).await
}

async fn readers_beside(harness: &Arc<dyn LogHarness>, goes: Goes) -> Result<(), Unable> {
    let stage = Stage::fresh(harness).await?;
    goes.is_possible(&stage)?;
    // One who cannot trim says so before the writer begins.
    goes.all_but_the_newest(&stage, 0).await?;
    let mut reader = stage.reader().await?.paged(3);
    let entries = numbered("a", 120);
    let (backlog, rest) = entries.split_at(20);
    stage.append(backlog).await;
    let writer = tokio::spawn({
        let (log, entries) = (stage.log.clone(), rest.to_vec());
        async move {
            for part in entries.chunks(4) {
                super::stage::append(&log, part).await;
            }
        }
    });
    let mut found = Vec::new();
    // The first read that began after the last append.
    let mut last = None;
    loop {
        if writer.is_finished() {
            last = last.or(Some(reader.next_number()));
        }
        match reader.page().await {
            // Only a gap allows to leave some out, and then all before it.
            Err(_) => {
                assert_in_a_row(&entries, &found);
                found.clear();
            }
            Ok(seen) => {
                found.extend(seen.entries);
                let complete = seen.complete.map(|as_of| as_of.number());
                if last.is_some_and(|last| complete >= Some(last)) {
                    break;
                }
            }
        }
        // After the first of several pages, to begin with.
        goes.all_but_the_newest(&stage, 0).await?;
    }
    writer.await.expect("every append succeeds");
    assert_in_a_row(&entries, &found);
    let last = [key("last")];
    stage.append(&last).await;
    let rule = "P1: the reader goes on";
    assert_exactly(rule, &last, &reader.catch_up().await);
    Ok(())
}

/// What was read between two gaps is a part of what was appended, without a hole.
fn assert_in_a_row(entries: &[Entry], found: &[LoggedEntry]) {
    let first = found.first().and_then(|first| {
        let is_first = |entry: &Entry| first.payload == Payload::Entry(entry.clone());
        entries.iter().position(is_first)
    });
    let expected = entries.iter().skip(first.unwrap_or_default());
    let expected: Vec<_> = expected.take(found.len()).cloned().collect();
    let rule = "P13: no entry was skipped without a gap";
    assert_in_order(rule, &expected, found);
}

/// P10: when every entry is deleted by hand, the newest too, a reader that was behind is told, and nothing that comes
/// later is missed.
pub(crate) async fn a_total_purge_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    everything_goes(&harness, Disruption::DeleteAll).await
}

/// P13: so it is when the server trims everything away by itself, as for its age.
pub(crate) async fn a_total_trim_is_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    everything_goes(&harness, Disruption::Trim { keep: 0 }).await
}

async fn everything_goes(
    harness: &Arc<dyn LogHarness>,
    disruption: Disruption,
) -> Result<(), Unable> {
    let stage = Stage::fresh(harness).await?;
    let mut from_the_start = stage.reader().await?;
    stage.append(&[key("read")]).await;
    let mut behind = stage.reader().await?;
    let mut later = Reader::at(stage.node().await?, behind.cursor.clone());
    stage.append(&numbered("missed", 3)).await;
    let mut ahead = stage.reader().await?;
    stage.disrupt(disruption).await?;
    let lost = "entries that the reader had not read were deleted";
    for reader in [&mut from_the_start, &mut behind] {
        reader.expects_expired(lost).await;
        let rule = "P20: a gap is told once, and then there is nothing to read";
        assert_exactly(rule, &[], &reader.catch_up().await);
    }
    let mut cold = stage.reader().await?;
    let entries = numbered("after", 5);
    stage.append(&entries).await;
    later.expects_expired(lost).await;
    for reader in [&mut from_the_start, &mut behind, &mut cold] {
        let rule = "P1: what comes after the deletion is read";
        assert_in_order(rule, &entries, &reader.catch_up().await);
    }
    // Whether the loss of what was read already is told is up to the log; nothing may be skipped.
    if let Ok(found) = ahead.try_catch_up().await {
        let rule = "P1: one who had read everything reads on, or is told of a gap";
        assert_in_order(rule, &entries, &found);
    }
    Ok(())
}

/// P1, P10: an entry that was deleted by hand is told to whoever had not read it, whether something was appended since or
/// not, and whatever else is still there.
pub(crate) async fn entries_deleted_by_hand_are_told(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    for appended in [0, 1, 3] {
        let stage = Stage::fresh(&harness).await?;
        let mut from_the_start = stage.reader().await?.paged(1);
        stage.append(&[key("read")]).await;
        let mut behind = stage.reader().await?;
        stage.append(&numbered("missed", 2)).await;
        let mut ahead = stage.reader().await?;
        stage.disrupt(Disruption::DeleteNewest).await?;
        let mut cold = stage.reader().await?;
        let after = numbered("after", appended);
        for entry in &after {
            stage.append(std::slice::from_ref(entry)).await;
        }
        let rule = "P14: a cold node starts behind what was deleted, and reads on";
        assert_in_order(rule, &after, &cold.catch_up().await);
        for reader in [&mut from_the_start, &mut behind] {
            assert!(
                reader.try_catch_up().await.is_err(),
                "P10: expected the cursor to expire, since an entry that it had not passed was deleted by hand, also when \
                 {appended} entries were appended since, and found that the log read on from it"
            );
        }
        // Whether the loss of what was read already is told is up to the log; nothing may be skipped.
        if let Ok(found) = ahead.try_catch_up().await {
            let rule = "P1: one who had read everything reads on, or is told of a gap";
            assert_in_order(rule, &after, &found);
        }
        let more = numbered("more", 2);
        stage.append(&more).await;
        for reader in [&mut from_the_start, &mut behind, &mut ahead, &mut cold] {
            let rule = "P1: all readers go on after the gap, which is told once";
            assert_in_order(rule, &more, &reader.catch_up().await);
        }
    }
    Ok(())
}

/// How the oldest entries go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    ByPurge,
    /// By a rule of the server's own.
    ByTrim,
}

impl Goes {
    fn is_possible(self, stage: &Stage) -> Result<(), Unable> {
        match self {
            Self::ByPurge => stage.space.purges(),
            Self::ByTrim => Ok(()),
        }
    }

    /// All go but the newest entry; by a purge at least so many of them.
    async fn all_but_the_newest(self, stage: &Stage, least: u64) -> Result<(), Unable> {
        match self {
            Self::ByPurge => {
                purge_at_least(&stage.log, least).await;
                Ok(())
            }
            Self::ByTrim => stage.disrupt(Disruption::Trim { keep: 1 }).await,
        }
    }
}

impl fmt::Display for Goes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByPurge => "by a purge",
            Self::ByTrim => "by a trim of the server's own",
        })
    }
}

/// Purges everything that may go, until so many entries are gone; how many went.
pub(super) async fn purge_at_least(log: &SharedLog, entries: u64) -> u64 {
    let mut total = 0;
    let what = format!("a purge with a retention of zero deletes {entries} entries");
    eventually!(&what, {
        let purged = log.purge(Duration::ZERO).await.expect("purges");
        total += purged.entries;
        (total >= entries).then_some(total)
    })
}
