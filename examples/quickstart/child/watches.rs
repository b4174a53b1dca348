//! When did this node stop serving the old version of a row?

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use cache_invalidation::Node;
use tokio::sync::oneshot;

use super::{BOUND, Table};
use crate::clock::now;

/// A write that takes longer to arrive did not arrive.
const DEADLINE: Duration = Duration::from_secs(8);

/// The watches under way, by row and version.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    ends: Mutex<HashMap<(i64, i64), End>>,
}

/// When a watch ended; `None` at its deadline.
type End = oneshot::Receiver<Option<u64>>;

impl Watches {
    /// Makes sure that the row is cached, and watches it from a thread of its own: a task would measure the
    /// runtime as well. It ends when the cache has nothing to serve or has `version`.
    pub(crate) async fn start(
        &self,
        node: Node,
        table: Arc<Table>,
        (key, version): (i64, i64),
        pause: Duration,
    ) -> anyhow::Result<()> {
        let item = table.get(key).await?;
        if item.version >= version {
            bail!(
                "row {key} is at version {} before version {version} was written",
                item.version
            );
        }
        let (tell, told) = oneshot::channel();
        self.ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((key, version), told);
        std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                // Whoever started it may be gone by then.
                let _ = tell.send(watch(&node, &table, (key, version), pause));
            })?;
        Ok(())
    }

    /// When the watch ended; `None` when it did not within [`DEADLINE`].
    pub(crate) async fn seen(&self, key: i64, version: i64) -> anyhow::Result<Option<u64>> {
        let told = self
            .ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(key, version))
            .with_context(|| format!("nobody watches version {version} of row {key}"))?;
        Ok(told.await?)
    }
}

fn watch(node: &Node, table: &Table, (key, version): (i64, i64), pause: Duration) -> Option<u64> {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let fresh = node.log_age().is_some_and(|age| age < BOUND);
        let gone = match table.cache.peek(&key) {
            Some(item) => item.version >= version,
            // A lapsed lease serves nothing either, and says nothing about this row.
            None => fresh,
        };
        if gone {
            return Some(now());
        }
        std::thread::sleep(pause);
    }
    None
}
