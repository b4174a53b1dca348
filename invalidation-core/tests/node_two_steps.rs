//! Writes in a database that the log cannot join: logged after their commit, whatever happens but the process's death.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{future::pending, io, time::Duration};

use invalidation_core::{ErrorKind, MemoryHub, MemoryLog, Node, TwoStep, TwoStepError};
use support::{Table, eventually, holds, never, on, read, users, via};

const SECOND: Duration = Duration::from_secs(1);

fn in_two_steps(node: &Node, cache: &invalidation_core::Cache<i64, u64>, key: i64) -> TwoStep {
    node.changes().keys(cache, [&key]).in_two_steps().unwrap()
}

/// P6: nothing is logged before the commit; when it returns, it is logged and applied here, and others hear from the log.
#[tokio::test(start_paused = true)]
async fn p6_a_write_is_logged_after_its_commit() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let (a, b) = (
        on(&log).start().await.unwrap(),
        on(&log).start().await.unwrap(),
    );
    let (at_a, at_b) = (users(&a), users(&b));
    read(&at_a, &table, 1).await;
    read(&at_b, &table, 1).await;
    let step = in_two_steps(&a, &at_a, 1);
    let commit = async {
        assert!(log.is_empty(), "nothing before the commit");
        table.write(1, 2);
        Ok::<_, io::Error>(())
    };
    let receipt = step.commit(commit).await.unwrap();
    assert_eq!(receipt.positions().len(), 1);
    assert_eq!(read(&at_a, &table, 1).await, 2);
    assert!(holds(&at_a, 1), "the quarantine is over");
    eventually("b reads the new row", async || {
        read(&at_b, &table, 1).await == 2
    })
    .await;
}

/// P5: while it is open its keys are not filled, and no others are held up.
#[tokio::test(start_paused = true)]
async fn p5_nothing_is_filled_while_it_is_open() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    let step = in_two_steps(&node, &cache, 1);
    read(&cache, &table, 1).await;
    assert!(!holds(&cache, 1));
    read(&cache, &table, 2).await;
    assert!(holds(&cache, 2), "other keys are");
    step.rolled_back();
    read(&cache, &table, 1).await;
    assert!(holds(&cache, 1), "and it is filled again afterwards");
    never("it is logged", 10 * SECOND, async || !log.is_empty()).await;
}

/// P1: dropped, cancelled, or with a commit that fails, the outcome is unknown: it is logged at once, and once more when the
/// commit must have taken effect; until then this node fills nothing that is covered.
#[tokio::test(start_paused = true)]
async fn p1_an_unknown_outcome_is_logged() {
    for case in 0..3 {
        let (log, table) = (MemoryLog::new(), Table::default());
        let (a, b) = (
            on(&log).start().await.unwrap(),
            on(&log).start().await.unwrap(),
        );
        let (at_a, at_b) = (users(&a), users(&b));
        read(&at_a, &table, 1).await;
        read(&at_b, &table, 1).await;
        let step = in_two_steps(&a, &at_a, 1);
        match case {
            0 => drop(step),
            1 => {
                let failed = step.commit(async { Err::<(), _>(io::Error::other("cut")) });
                let error = failed.await.unwrap_err();
                assert!(matches!(error, TwoStepError::Commit(_)), "{error:?}");
            }
            _ => {
                let commit = step.commit(pending::<Result<(), io::Error>>());
                tokio::time::timeout(SECOND / 20, commit).await.unwrap_err();
            }
        }
        assert!(!holds(&at_a, 1), "case {case}: at once here");
        eventually("b dropped it", async || !holds(&at_b, 1)).await;
        // The server is slow, and both read the old row.
        read(&at_b, &table, 1).await;
        tokio::time::sleep(10 * SECOND).await;
        table.write(1, 2);
        assert_eq!(read(&at_a, &table, 1).await, 2);
        assert!(!holds(&at_a, 1), "case {case}: nothing is filled yet");
        assert!(holds(&at_b, 1), "b keeps what it read");
        tokio::time::sleep(20 * SECOND).await;
        eventually("b reads the new row", async || {
            read(&at_b, &table, 1).await == 2
        })
        .await;
        eventually("a fills it again", async || {
            read(&at_a, &table, 1).await;
            holds(&at_a, 1)
        })
        .await;
        assert_eq!(log.len(), 2, "case {case}");
    }
}

/// P1, P16: a log that is away is told, claimed meanwhile, and written when it is back; reads are cached as ever, and who
/// writes next does not wait. An append whose caller was cancelled is no different.
#[tokio::test(start_paused = true)]
async fn p1_it_is_logged_when_the_log_is_back() {
    for cancelled in [false, true] {
        let (log, hub, table) = (MemoryLog::new(), MemoryHub::new(), Table::default());
        let mine = log.connect();
        let a = on(&mine).transport(via(&hub)).start().await.unwrap();
        let b = on(&log).transport(via(&hub)).start().await.unwrap();
        let c = on(&log).start().await.unwrap();
        let (at_a, at_b, at_c) = (users(&a), users(&b), users(&c));
        for cache in [&at_a, &at_b, &at_c] {
            read(cache, &table, 1).await;
        }
        mine.faults().appends().hang();
        let step = in_two_steps(&a, &at_a, 1);
        table.write(1, 2);
        let done = step.commit(async { Ok::<_, io::Error>(()) });
        if cancelled {
            tokio::time::timeout(SECOND / 20, done).await.unwrap_err();
        } else {
            match done.await.unwrap_err() {
                TwoStepError::Log(error) => assert_eq!(error.kind, ErrorKind::TimedOut),
                error => panic!("{error:?}"),
            }
        }
        assert_eq!(read(&at_a, &table, 1).await, 2, "at once here");
        assert!(holds(&at_a, 1), "what is committed is cached");
        eventually("claimed to b", async || read(&at_b, &table, 1).await == 2).await;
        never("c hears without a log", 60 * SECOND, async || {
            !holds(&at_c, 1)
        })
        .await;
        assert!(log.is_empty());
        let asked = tokio::time::Instant::now();
        let next = in_two_steps(&a, &at_a, 2);
        let told = next.commit(async { Ok::<_, io::Error>(()) }).await;
        assert!(matches!(told.unwrap_err(), TwoStepError::Log(_)));
        assert!(
            asked.elapsed() < SECOND,
            "nobody waits in vain (virtual time)"
        );
        mine.faults().appends().heal();
        eventually("c reads the new row", async || {
            read(&at_c, &table, 1).await == 2
        })
        .await;
        eventually("both are logged", async || log.len() == 2).await;
    }
}

/// P11: the bound holds however often the log refuses: what does not fit becomes everything.
#[tokio::test(start_paused = true)]
async fn p11_the_bound_holds_through_many_attempts() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let mine = log.connect();
    let (a, b) = (
        on(&mine).start().await.unwrap(),
        on(&log).start().await.unwrap(),
    );
    let (at_a, at_b) = (users(&a), users(&b));
    let others = b.cache::<i64, u64>("others").build().unwrap();
    read(&others, &table, 1).await;
    read(&at_b, &table, 1).await;
    mine.faults()
        .appends()
        .fail_next(1_000_000, ErrorKind::Unavailable);
    for round in 0..4 {
        for key in 0..4_000 {
            let step = in_two_steps(&a, &at_a, 4_000 * round + key);
            drop(step.committed().await);
        }
        tokio::time::sleep(5 * SECOND).await;
    }
    mine.faults().appends().heal();
    eventually("everything was invalidated", async || {
        !holds(&others, 1) && !holds(&at_b, 1)
    })
    .await;
    assert!(log.len() < 10_000, "{} entries", log.len());
}

/// P11: what the log does not take is widened, and holds up no other.
#[tokio::test(start_paused = true)]
async fn p11_what_the_log_refuses_widens() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let mine = log.connect();
    let (a, b) = (
        on(&mine).start().await.unwrap(),
        on(&log).start().await.unwrap(),
    );
    let (at_a, at_b) = (users(&a), users(&b));
    for key in 1..=3 {
        read(&at_b, &table, key).await;
    }
    // The caller's own attempt, and the first one in the background.
    mine.faults().appends().fail_next(2, ErrorKind::TooLarge);
    let step = in_two_steps(&a, &at_a, 1);
    let refused = step.commit(async { Ok::<_, io::Error>(()) }).await;
    assert!(matches!(refused.unwrap_err(), TwoStepError::Log(_)));
    eventually("b dropped the whole cache", async || {
        !holds(&at_b, 1) && !holds(&at_b, 3)
    })
    .await;
}

/// P16: a log that refuses one write for what it holds is there for all others.
#[tokio::test(start_paused = true)]
async fn p16_a_refused_write_makes_no_log_away() {
    let log = MemoryLog::new();
    let node = on(&log).start().await.unwrap();
    let cache = users(&node);
    let commit = async |key| {
        let step = in_two_steps(&node, &cache, key);
        match step.commit(async { Ok::<_, io::Error>(()) }).await {
            Err(TwoStepError::Log(error)) => error.kind,
            other => panic!("{other:?}"),
        }
    };
    let faults = log.faults();
    let appends = faults.appends();
    for (kind, to_the_next, written) in [
        (ErrorKind::Invalid, ErrorKind::Invalid, 2),
        // This is how it is told where the log is away.
        (ErrorKind::Denied, ErrorKind::Unavailable, 4),
    ] {
        appends.fail_all(kind);
        assert_eq!(commit(1).await, kind);
        let begun = appends.begun();
        eventually("tried twice in the background", async || {
            appends.finished() >= begun + 2
        })
        .await;
        assert_eq!(commit(2).await, to_the_next, "after {kind:?}");
        appends.heal();
        eventually("all is logged", async || log.len() == written).await;
    }
}

/// P11: more writes than may wait become one entry for everything.
#[tokio::test(start_paused = true)]
async fn p11_too_many_become_everything() {
    let (log, table) = (MemoryLog::new(), Table::default());
    let mine = log.connect();
    let (a, b) = (
        on(&mine).start().await.unwrap(),
        on(&log).start().await.unwrap(),
    );
    let (at_a, at_b) = (users(&a), users(&b));
    let others = b.cache::<i64, u64>("others").build().unwrap();
    mine.faults().appends().hang();
    read(&others, &table, 1).await;
    read(&at_b, &table, 1).await;
    for key in 0..10_000 {
        drop(in_two_steps(&a, &at_a, key));
    }
    assert!(holds(&others, 1));
    mine.faults().appends().heal();
    eventually("everything was invalidated", async || {
        !holds(&others, 1) && !holds(&at_b, 1)
    })
    .await;
}

/// P1: a node that is shut down logs what waits before it ends, and a step that is open then.
#[tokio::test(start_paused = true)]
async fn p1_a_shutdown_logs_what_waits() {
    for open in [false, true] {
        let (log, table) = (MemoryLog::new(), Table::default());
        let mine = log.connect();
        let (a, b) = (
            on(&mine).start().await.unwrap(),
            on(&log).start().await.unwrap(),
        );
        let (at_a, at_b) = (users(&a), users(&b));
        read(&at_b, &table, 1).await;
        let step = in_two_steps(&a, &at_a, 1);
        let waiting = if open {
            Some(step)
        } else {
            mine.faults().appends().hang();
            drop(step);
            None
        };
        let node = a.clone();
        let ending = tokio::spawn(async move { node.shutdown(60 * SECOND).await });
        tokio::time::sleep(10 * SECOND).await;
        assert!(!ending.is_finished(), "it waits: open {open}");
        let refused = a.changes().keys(&at_a, [&2]).in_two_steps();
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Closed);
        match waiting {
            Some(step) => {
                let done = step.commit(async { Ok::<_, io::Error>(()) }).await;
                assert_eq!(done.unwrap().positions().len(), 1);
            }
            None => mine.faults().appends().heal(),
        }
        ending.await.unwrap().unwrap();
        assert!(!log.is_empty());
        eventually("b heard", async || !holds(&at_b, 1)).await;
    }
}

/// Without a log the second step is the fast path alone.
#[tokio::test(start_paused = true)]
async fn without_a_log_it_is_published() {
    let (hub, table) = (MemoryHub::new(), Table::default());
    let start = || Node::builder("test").transport(via(&hub)).start();
    let (a, b) = (start().await.unwrap(), start().await.unwrap());
    let (at_a, at_b) = (users(&a), users(&b));
    // Two nodes that have just met flush: what is cached after that stays.
    eventually("both have met", async || {
        read(&at_b, &table, 1).await;
        tokio::time::sleep(SECOND).await;
        holds(&at_b, 1)
    })
    .await;
    let step = in_two_steps(&a, &at_a, 1);
    step.commit(async { Ok::<_, io::Error>(()) }).await.unwrap();
    eventually("b heard", async || !holds(&at_b, 1)).await;
}
