//! How soon the other nodes drop a row that was written.

use std::sync::Arc;

use crate::{process::NodeProcess, protocol::Commit};

/// How often a watching node looks.
const LOOK_EVERY_US: u64 = 50;

/// A write, and when it arrived elsewhere.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) commit: Commit,
    /// From the commit, in nanoseconds; one for each node that had the old row until then.
    pub(crate) latencies: Vec<u64>,
    /// The nodes that kept the old row.
    pub(crate) missing: Vec<usize>,
}

/// Makes `watchers` watch a row, runs `write`, which gives it this version, and waits until all have seen it.
pub(crate) async fn observed(
    write: impl Future<Output = anyhow::Result<Commit>>,
    watchers: Vec<Arc<NodeProcess>>,
    (key, version): (i64, i64),
) -> anyhow::Result<Arrival> {
    for node in &watchers {
        node.watch(key, version, LOOK_EVERY_US).await?;
    }
    let commit = write.await?;
    anyhow::ensure!(
        (commit.key, commit.version) == (key, version),
        "version {version} of row {key} was expected, and version {} of row {} was written",
        commit.version,
        commit.key
    );
    let mut arrival = Arrival {
        commit,
        latencies: Vec::new(),
        missing: Vec::new(),
    };
    for node in watchers {
        match node.seen(key, version).await? {
            // Dropped for another reason, such as a flush, before it was written: says nothing.
            Some(at) if at < commit.begun => {}
            Some(at) => arrival.latencies.push(at.saturating_sub(commit.committed)),
            None => arrival.missing.push(node.number),
        }
    }
    Ok(arrival)
}
