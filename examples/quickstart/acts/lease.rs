//! Waiting for a node's lease.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::time::sleep;

use crate::{child::BOUND, process::NodeProcess, protocol::Status};

/// Neither a lapse nor a renewal takes so long.
const DEADLINE: Duration = Duration::from_secs(8);

/// Waits until the last complete log read of the node is no older than the bound.
pub(crate) async fn until_lease_holds(node: &NodeProcess) -> anyhow::Result<Status> {
    wait(node, true).await
}

/// Waits until it is older, so that nothing cached may be served.
pub(crate) async fn until_lease_lapses(node: &NodeProcess) -> anyhow::Result<Status> {
    wait(node, false).await
}

async fn wait(node: &NodeProcess, wanted: bool) -> anyhow::Result<Status> {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        let status = node.status().await?;
        let age = status.log_age_ms.map(Duration::from_millis);
        if age.is_some_and(|age| age < BOUND) == wanted {
            return Ok(status);
        }
        sleep(Duration::from_millis(5)).await;
    }
    match wanted {
        true => bail!("the lease of node {} was not renewed", node.number),
        false => bail!("the lease of node {} did not lapse", node.number),
    }
}
