//! Entries that join a transaction of the caller.

use std::{sync::Arc, time::Duration};

use invalidation_core::Cursor;

use super::{
    BusinessTransaction, LogHarness,
    entries::{assert_exactly, assert_in_order, assert_same, key, numbered},
    reader::{Reader, head},
    stage::Stage,
};
use crate::Unable;

/// P2: an entry exists exactly if its transaction commits, and so does the row that was written with it.
pub(crate) async fn an_entry_shares_the_fate_of_its_transaction(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    enum End {
        Commits,
        RollsBack,
        IsDropped,
    }
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let mut committed = Vec::new();
    let mut found = Vec::new();
    let ends = [End::Commits, End::RollsBack, End::IsDropped, End::Commits];
    for (number, end) in ends.into_iter().enumerate() {
        let name = number.to_string();
        let entry = key(name.clone());
        let mut transaction = stage.begin().await?;
        write(&mut *transaction, &name, "new").await;
        join(&mut *transaction, std::slice::from_ref(&entry)).await;
        let rule = "P2: nothing of an open transaction is read";
        assert_exactly(rule, &[], &reader.catch_up().await);
        let is_there = match end {
            End::Commits => {
                transaction.commit().await.expect("commits");
                committed.push(entry);
                true
            }
            End::RollsBack => {
                transaction.roll_back().await.expect("rolls back");
                false
            }
            End::IsDropped => {
                drop(transaction);
                false
            }
        };
        let row = stage.space.row(&name).await?;
        let rule = "P2: the row exists exactly if its transaction committed";
        assert_same(rule, is_there, row.is_some());
        found.extend(reader.catch_up().await);
    }
    let rule = "P2: the entries of committed transactions, and no others";
    assert_in_order(rule, &committed, &found);
    Ok(())
}

/// P2, P3: a row and its entry become visible in one step: nobody sees the one without the other.
pub(crate) async fn row_and_entry_become_visible_together(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const ROUNDS: usize = 25;
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    // Asked for here, so that a harness without them is told before the writer begins.
    stage.begin().await?.roll_back().await.expect("rolls back");
    stage.space.row("0").await?;
    let space = Arc::clone(&stage.space);
    let writer = tokio::spawn(async move {
        for number in 0..ROUNDS {
            let mut transaction = space.begin().await.expect("begins again");
            let name = number.to_string();
            let entry = [key(name.clone())];
            // Both orders within the transaction.
            if number % 2 == 0 {
                join(&mut *transaction, &entry).await;
                a_read_later().await;
                write(&mut *transaction, &name, "new").await;
            } else {
                write(&mut *transaction, &name, "new").await;
                join(&mut *transaction, &entry).await;
            }
            a_read_later().await;
            transaction.commit().await.expect("commits");
        }
    });
    let mut read = 0;
    while read < ROUNDS {
        let row = stage.space.row(&read.to_string()).await?;
        let finished = writer.is_finished();
        let before = read;
        read += reader.catch_up().await.len();
        assert!(
            row.is_none() || read > before,
            "P3: expected the entry of row {before}, which was committed before a complete read began, and found none"
        );
        for number in before..read {
            let row = stage.space.row(&number.to_string()).await?;
            assert!(
                row.is_some(),
                "P2: expected row {number} to be committed when its entry is read, and found that it is not"
            );
        }
        assert!(
            !finished || read == ROUNDS,
            "P1: expected the entries of {ROUNDS} transactions that committed before a complete read began, and found {read}"
        );
    }
    writer.await.expect("every transaction commits");
    Ok(())
}

/// P1: transactions that begin, append and commit in every order of their own are read exactly once each, with a
/// poll between any two steps.
pub(crate) async fn commit_order_unlike_id_order(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let stage = Stage::fresh(&harness).await?;
    stage.space.concurrent_transactions()?;
    let mut reader = stage.reader().await?;
    for appends in ORDERS {
        for commits in ORDERS {
            let mut open = Vec::new();
            for number in 0..3 {
                let mut transaction = stage.begin().await?;
                // The first write is what takes a place in the order of beginnings.
                write(&mut *transaction, &number.to_string(), "new").await;
                open.push(Some(transaction));
            }
            let entries = numbered("t", 3);
            let mut found = Vec::new();
            for number in appends {
                let transaction = open[number].as_deref_mut().expect("open");
                join(transaction, std::slice::from_ref(&entries[number])).await;
                found.extend(reader.catch_up().await);
            }
            assert_exactly("P2: nothing of open transactions is read", &[], &found);
            let mut so_far = Vec::new();
            for number in commits {
                let transaction = open[number].take().expect("open");
                transaction.commit().await.expect("commits");
                so_far.push(entries[number].clone());
                found.extend(reader.catch_up().await);
                let rule = format!(
                    "P1: transactions t/0, t/1 and t/2 began in this order, appended in the order {appends:?}, and \
                     {} of them committed in the order {commits:?}; each committed entry is read once",
                    so_far.len()
                );
                assert_exactly(&rule, &so_far, &found);
            }
        }
    }
    Ok(())
}

/// P1, P4: a transaction open across many polls hides nothing and is hidden, and each poll is complete beside it.
pub(crate) async fn a_transaction_open_across_many_polls(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let late = key("late");
    let before = key("before");
    stage.append(std::slice::from_ref(&before)).await;
    let mut transaction = stage.begin().await?;
    join(&mut *transaction, std::slice::from_ref(&late)).await;
    let rule = "P1: what was committed before the open transaction is read beside it";
    assert_exactly(rule, &[before], &reader.catch_up().await);
    for _ in 0..50 {
        let rule = "P2: nothing of an open transaction is read";
        assert_exactly(rule, &[], &reader.catch_up().await);
    }
    transaction.commit().await.expect("commits");
    let rule = "P1: the transaction's entry is read once it has committed";
    assert_exactly(rule, &[late], &reader.catch_up().await);
    Ok(())
}

/// P3, P16: what others commit beside an open transaction is read before it ends.
pub(crate) async fn an_open_transaction_holds_nobody_up(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.space.concurrent_transactions()?;
    let mut reader = stage.reader().await?;
    let slow = key("slow");
    let mut transaction = stage.begin().await?;
    write(&mut *transaction, "slow", "new").await;
    join(&mut *transaction, std::slice::from_ref(&slow)).await;
    let quick = key("quick");
    stage.append(std::slice::from_ref(&quick)).await;
    let rule = "P3: a complete read beside an open transaction holds what others committed";
    assert_exactly(rule, &[quick], &reader.catch_up().await);
    transaction.commit().await.expect("commits");
    let rule = "P1: the open transaction's entry is read once it has committed";
    assert_exactly(rule, &[slow], &reader.catch_up().await);
    Ok(())
}

/// P2: what was rolled back to a savepoint never was; what stands before and after it commits.
pub(crate) async fn savepoints_and_rollbacks(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let mut kept = Vec::new();
    for round in 0..5 {
        let [before, undone, after] =
            ["before", "undone", "after"].map(|what| key(format!("{round}/{what}")));
        let mut transaction = stage.begin().await?;
        join(&mut *transaction, std::slice::from_ref(&before)).await;
        transaction.savepoint().await?;
        join(&mut *transaction, &[undone]).await;
        transaction.roll_back_to_savepoint().await?;
        join(&mut *transaction, std::slice::from_ref(&after)).await;
        if round % 2 == 0 {
            transaction.commit().await.expect("commits");
            kept.extend([before, after]);
        } else {
            transaction.roll_back().await.expect("rolls back");
        }
    }
    let rule =
        "P2: the entries before and after a savepoint that was rolled back to, and no others";
    assert_in_order(rule, &kept, &reader.catch_up().await);
    Ok(())
}

/// P1: what was rolled back leaves holes at most, and a hole is no gap.
pub(crate) async fn holes_are_no_gaps(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?.paged(1);
    let mut behind = stage.reader().await?.paged(2);
    let entries = numbered("kept", 6);
    let mut found = Vec::new();
    for entry in &entries {
        let mut transaction = stage.begin().await?;
        join(&mut *transaction, &numbered("undone", 3)).await;
        transaction.roll_back().await.expect("rolls back");
        stage.append(std::slice::from_ref(entry)).await;
        found.extend(reader.catch_up().await);
    }
    assert_in_order("P1: a hole is no gap", &entries, &found);
    let rule = "P1: holes are no gaps to one who reads them all at once";
    assert_in_order(rule, &entries, &behind.catch_up().await);
    Ok(())
}

/// P14: a head that was taken beside an open transaction stands before what that commits later.
pub(crate) async fn head_beside_an_open_transaction(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.append(&[key("before")]).await;
    let late = numbered("late", 2);
    let mut transaction = stage.begin().await?;
    join(&mut *transaction, &late).await;
    let log = stage.node().await?;
    let mut reader = Reader::at(log.clone(), head(&log).await);
    transaction.commit().await.expect("commits");
    let rule =
        "P14: a transaction that was open when head() was taken is read once it has committed";
    assert_in_order(rule, &late, &reader.catch_up().await);
    Ok(())
}

/// P10, P14: so does the cursor with which a reader goes on after a gap that was told beside an open transaction.
pub(crate) async fn a_gap_beside_an_open_transaction(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    stage.append(&[key("before")]).await;
    let late = numbered("late", 2);
    let mut transaction = stage.begin().await?;
    join(&mut *transaction, &late).await;
    let unreadable = Cursor::from_bytes(b"no cursor".to_vec());
    let mut reader = Reader::at(stage.node().await?, unreadable);
    reader.expects_expired("the cursor is no cursor").await;
    transaction.commit().await.expect("commits");
    let rule = "P14: a transaction that was open when a gap was told is read once it has committed";
    assert_in_order(rule, &late, &reader.catch_up().await);
    Ok(())
}

/// P2: positions told inside a transaction are those at which its entries are read.
pub(crate) async fn a_joined_entry_keeps_its_position(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let entries = numbered("a", 3);
    let mut transaction = stage.begin().await?;
    let mut told = join(&mut *transaction, &entries[..1]).await;
    told.extend(join(&mut *transaction, &entries[1..]).await);
    transaction.commit().await.expect("commits");
    let found = reader.catch_up().await;
    assert_in_order("P1: the transaction's entries are read", &entries, &found);
    if told.is_empty() {
        return Err(Unable::because(
            "the log gives entries their positions only as they commit",
        ));
    }
    let read: Vec<_> = found.into_iter().map(|logged| logged.position).collect();
    assert_same("P2: the positions told are those that are read", told, read);
    Ok(())
}

/// P2: the statement for drivers that the framework does not know appends the same, in their transaction.
pub(crate) async fn the_statement_appends_for_any_driver(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let entries = [key("ä\"\\'$1?"), key("2")];
    for commits in [false, true] {
        let Some(statement) = stage.log.statement(&entries) else {
            return Err(Unable::because(
                "the log has no statement for other drivers",
            ));
        };
        let mut transaction = stage.begin().await?;
        let rows = transaction
            .execute(&statement.sql, &statement.parameter)
            .await?;
        let rule = "P2: the statement inserts as many rows as it says";
        assert_same(rule, statement.rows, rows);
        if commits {
            transaction.commit().await.expect("commits");
        } else {
            transaction.roll_back().await.expect("rolls back");
            let rule = "P2: the statement is part of the transaction";
            assert_exactly(rule, &[], &reader.catch_up().await);
        }
    }
    let rule = "P2: the statement appends what append would";
    assert_in_order(rule, &entries, &reader.catch_up().await);
    Ok(())
}

/// Leaves the reader time to look in between; whether it does is up to chance.
async fn a_read_later() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// Writes a business row.
pub(super) async fn write(transaction: &mut dyn BusinessTransaction, row: &str, value: &str) {
    let written = transaction.write_row(row, value).await;
    written.expect("a row is written");
}

/// Appends inside of the transaction, and asserts that there is a position for each entry, or none is known yet.
pub(super) async fn join(
    transaction: &mut dyn BusinessTransaction,
    entries: &[invalidation_core::Entry],
) -> Vec<invalidation_core::Position> {
    let positions = transaction.append(entries).await;
    let positions = positions.expect("an append joins the transaction");
    if !positions.is_empty() {
        let rule = "append gives one position for each entry, or none at all before the commit";
        assert_same(rule, entries.len(), positions.len());
    }
    positions
}
