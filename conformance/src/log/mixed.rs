//! Everything at once, by the numbers of a seed.

use std::sync::Arc;

use futures_util::future::join_all;
use invalidation_core::Entry;
use rand::{RngExt, rngs::StdRng};
use tokio::sync::Mutex;

use super::{
    LogHarness, LogSpace,
    entries::{assert_exactly, key},
    stage::{Stage, append},
    transactions::{join, write},
};
use crate::{Unable, seed::random};

/// P1, P2: transactions with savepoints and rollbacks beside plain appends, read in pages of every size: each
/// committed entry once.
pub(crate) async fn exactly_once_beside_transactions(
    harness: Arc<dyn LogHarness>,
    seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::fresh(&harness).await?;
    let mut reader = stage.reader().await?;
    let savepoints = {
        let mut transaction = stage.begin().await?;
        let savepoints = transaction.savepoint().await.is_ok();
        transaction.roll_back().await.expect("rolls back");
        savepoints
    };
    // Taken by each transaction where only one can be open.
    let turn = match stage.space.concurrent_transactions() {
        Ok(()) => None,
        Err(_) => Some(Arc::new(Mutex::new(()))),
    };
    let mut random = random(seed);
    let mut writers = Vec::new();
    for writer in 0..3 {
        let writer = Writer {
            name: writer.to_string(),
            space: Arc::clone(&stage.space),
            turn: turn.clone(),
            savepoints,
            random: rand::SeedableRng::seed_from_u64(random.random()),
        };
        writers.push(tokio::spawn(writer.run()));
    }
    let log = stage.node().await?;
    let alone = tokio::spawn(async move {
        let mut appended = Vec::new();
        for number in 0..20 {
            let entry = key(format!("alone/{number}"));
            append(&log, std::slice::from_ref(&entry)).await;
            appended.push(entry);
            tokio::task::yield_now().await;
        }
        appended
    });
    let mut found = Vec::new();
    while !(alone.is_finished() && writers.iter().all(|writer| writer.is_finished())) {
        reader.max_entries = random.random_range(1..6);
        found.extend(reader.goes_on().await.entries);
    }
    let mut committed = alone.await.expect("every append succeeds");
    for entries in join_all(writers).await {
        committed.extend(entries.expect("every transaction ends as it should"));
    }
    found.extend(reader.catch_up().await);
    let rule = "P1: each committed entry once, and nothing that was rolled back";
    assert_exactly(rule, &committed, &found);
    Ok(())
}

struct Writer {
    name: String,
    space: Arc<dyn LogSpace>,
    turn: Option<Arc<Mutex<()>>>,
    savepoints: bool,
    random: StdRng,
}

impl Writer {
    async fn run(mut self) -> Vec<Entry> {
        let mut committed = Vec::new();
        for round in 0..15 {
            let entry = |what: &str| key(format!("{}/{round}/{what}", self.name));
            let _turn = match &self.turn {
                Some(turn) => Some(turn.lock().await),
                None => None,
            };
            let mut transaction = self.space.begin().await.expect("begins");
            write(&mut *transaction, &self.name, &round.to_string()).await;
            let mut own = vec![entry("first")];
            join(&mut *transaction, &own).await;
            if self.savepoints && self.random.random_bool(0.5) {
                transaction.savepoint().await.expect("sets a savepoint");
                join(&mut *transaction, &[entry("undone")]).await;
                let undone = transaction.roll_back_to_savepoint().await;
                undone.expect("goes back to the savepoint");
            }
            if self.random.random_bool(0.5) {
                tokio::time::sleep(std::time::Duration::from_millis(
                    self.random.random_range(0..4),
                ))
                .await;
                let second = entry("second");
                join(&mut *transaction, std::slice::from_ref(&second)).await;
                own.push(second);
            }
            if self.random.random_bool(0.7) {
                transaction.commit().await.expect("commits");
                committed.extend(own);
            } else {
                transaction.roll_back().await.expect("rolls back");
            }
        }
        committed
    }
}
