//! Act 6: a program that knows nothing of caches runs a plain `UPDATE`.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use cache_invalidation::{CacheName, Node, Scope};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    child::CACHE,
    clock::now,
    database::{Database, ROWS},
    observe::observed,
    protocol::Commit,
    show::Show,
};

/// Writes begin so far apart that they fall on all moments of a poll interval.
const APART: Duration = Duration::from_millis(67);

/// Attaches triggers to the table, and updates rows on a bare connection.
pub(crate) async fn update_from_outside(show: &mut Show) -> anyhow::Result<()> {
    let writes = show.pace.outside;
    let home = show.cluster.home().clone();
    let announcement = if home.has_triggers() {
        format!("A stranger runs {writes} plain SQL UPDATEs; triggers write the log.")
    } else {
        format!(
            "A program without caches runs {writes} SQL UPDATEs, and appends to the log after each."
        )
    };
    let act = show.begin("plain UPDATE from outside", &announcement);
    let log = match home.has_triggers() {
        true => {
            attach(show).await?;
            None
        }
        false => Some(Arc::new(home.log_alone().await?)),
    };
    let mut under_way = JoinSet::new();
    for write in 0..writes {
        let key = show.some_key();
        let version = show.history.newest(key) + 1;
        let update = update(show.database.clone(), log.clone(), key);
        let watchers = show.cluster.nodes().to_vec();
        under_way.spawn(observed(update, watchers, (key, version)));
        while let Some(arrived) = under_way.try_join_next() {
            show.record(act, arrived??);
        }
        show.stage.progress(format!("{write} of {writes} updates"));
        sleep(APART).await;
    }
    while let Some(arrived) = under_way.join_next().await {
        show.record(act, arrived??);
    }
    show.result(&show.latencies());
    Ok(())
}

/// What an operator does once, while everything runs. What was written before the triggers were there was not
/// logged by them, so the cache is cleared with it; watching a row that nobody writes tells when that is over.
async fn attach(show: &Show) -> anyhow::Result<()> {
    let (quiet, never) = (ROWS, 2);
    for node in show.cluster.nodes() {
        node.watch(quiet, never, 1_000).await?;
    }
    show.cluster.home().attach().await?;
    for node in show.cluster.nodes() {
        let cleared = node.seen(quiet, never).await?;
        cleared.with_context(|| format!("node {} did not clear its cache", node.number))?;
    }
    Ok(())
}

async fn update(database: Database, log: Option<Arc<Node>>, key: i64) -> anyhow::Result<Commit> {
    let begun = now();
    let version = database.update(key).await?;
    if let Some(log) = log {
        let changed = Scope::keys([key.to_string()]);
        log.changes()
            .scope(CacheName::new(CACHE)?, changed)
            .publish()
            .await?;
    }
    let committed = now();
    Ok(Commit {
        key,
        version: version.context("there is no such row")?,
        begun,
        committed,
    })
}
