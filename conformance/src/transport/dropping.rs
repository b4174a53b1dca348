//! The end of a transport that is dropped.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::Instant};

use super::{TransportHarness, listening::Listener, publishing::publish};
use crate::{Unable, wait::PATIENCE, wait::eventually};

/// When its transports are dropped, subscribed or not, every task of a cluster ends.
pub(crate) async fn dropping_leaks_no_task(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for subscription_first in [true, false] {
        let cluster = harness.cluster(2).await?;
        let mut listeners = Listener::at_all(cluster.members()).await;
        publish(&cluster.members()[0], "x").await;
        listeners[1].expect("x").await;
        if subscription_first {
            drop(listeners);
            drop(cluster);
        } else {
            drop(cluster);
            drop(listeners);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while tasks() > before {
        assert!(
            Instant::now() < deadline,
            "expected {before} tasks, as before the transports were made, and {} are alive {PATIENCE:?} after they were \
             dropped",
            tasks()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A dropped transport has no connection any more, though it was never closed.
pub(crate) async fn dropping_leaks_no_connection(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let mut cluster = harness.cluster(2).await?;
    let mut listeners = Listener::at_all(cluster.members()).await;
    publish(&cluster.members()[0], "x").await;
    listeners[1].expect("x").await;
    let before = cluster.connections(1).await?;
    assert!(
        before > 0,
        "the harness counts no connection of a node that works"
    );
    let last = cluster
        .give_away()
        .ok_or_else(|| Unable::because("the harness does not give its nodes away"))?;
    drop(listeners);
    drop(last);
    eventually!(
        "a dropped transport has no connection any more",
        (cluster.connections(1).await == Ok(0)).then_some(())
    );
    Ok(())
}

/// Subscriptions that were dropped leave no connection behind. One at a time, since a node keeps no more.
pub(crate) async fn subscriptions_leak_no_connection(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const TIMES: usize = 10;
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    publish(from, "x").await;
    listener.expect("x").await;
    let before = cluster.connections(1).await?;
    drop(listener);
    for _ in 0..TIMES {
        drop(Listener::at(to).await);
    }
    eventually!(
        format!(
            "{TIMES} dropped subscriptions leave no more than the {before} connections of before"
        ),
        (cluster.connections(1).await? <= before).then_some(())
    );
    Ok(())
}
