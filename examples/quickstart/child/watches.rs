//! When did this node stop serving the old version of a row?

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use cache_invalidation::Node;
use tokio::{sync::oneshot, time::timeout};

use super::{BOUND, Table};
use crate::clock::now;

/// A write that takes longer to arrive, once it is known to be committed, did not arrive.
const DEADLINE: Duration = Duration::from_secs(20);

/// The watches under way, by row and version.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    ends: Mutex<HashMap<(i64, i64), End>>,
}

/// When a watch ended. Dropping it ends the watch.
type End = oneshot::Receiver<u64>;

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
                let is_gone = || is_gone(&node, &table, (key, version));
                while !tell.is_closed() {
                    if is_gone() {
                        // Whoever started it may be gone by then.
                        let _ = tell.send(now());
                        break;
                    }
                    std::thread::sleep(pause);
                }
            })?;
        Ok(())
    }

    /// When the watch ended, to be asked once the write is committed; `None` when it does not within [`DEADLINE`] from now.
    pub(crate) async fn seen(&self, key: i64, version: i64) -> anyhow::Result<Option<u64>> {
        let told = self
            .ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(key, version))
            .with_context(|| format!("nobody watches version {version} of row {key}"))?;
        match timeout(DEADLINE, told).await {
            Ok(at) => Ok(Some(at?)),
            Err(_) => Ok(None),
        }
    }
}

/// Whether the cache has nothing to serve, or has the version.
fn is_gone(node: &Node, table: &Table, (key, version): (i64, i64)) -> bool {
    match table.cache.peek(&key) {
        Some(item) => item.version >= version,
        // A lapsed lease serves nothing either, and says nothing about this row.
        None => node.log_age().is_some_and(|age| age < BOUND),
    }
}
