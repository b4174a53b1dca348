//! Act 4: a node stands still for longer than its lease, and goes on as if nothing had happened.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::lease::until_lease_holds;
use crate::{child::BOUND, measure::Millis, show::Show};

/// The node that stands still.
const STOPPED: usize = 1;

/// Stops a node, writes on the others, and lets it go on.
pub(crate) async fn stopped_node(show: &mut Show) -> anyhow::Result<()> {
    let writes = show.pace.stopped_writes;
    let still = BOUND.mul_f64(2.5);
    let act = show.begin(
        "node stopped past its lease",
        &format!(
            "Node {} stands still (SIGSTOP) for {still:?}, past its lease, through {writes} writes.",
            STOPPED + 1
        ),
    );
    let node = show.cluster.node(STOPPED).clone();
    let stopped = Instant::now();
    node.stop()?;
    for write in 0..writes {
        show.stage.progress(format!(
            "{write} of {writes} writes, node {} stopped",
            node.number
        ));
        // The two others in turn.
        show.write(act, STOPPED + 1 + write % 2).await?;
    }
    while stopped.elapsed() < still {
        show.stage.progress(format!("node {} stopped", node.number));
        sleep(Duration::from_millis(50)).await;
    }
    let going_on = Instant::now();
    node.go_on()?;
    until_lease_holds(&node).await?;
    let woken = Millis::from(going_on.elapsed());
    // Reads go on; what it served at waking is judged at the end, with everything else.
    sleep(Duration::from_millis(300)).await;
    let reads = node.reads().await?;
    let judged = show.history.judge(&reads, show.bound);
    let worst = Millis::from(judged.worst.get(&act).copied().unwrap_or_default());
    show.result(&format!(
        "its lease had lapsed meanwhile: it waited for the log, and trusted its cache again {woken} after SIGCONT; \
         its stalest read was {worst} behind"
    ));
    Ok(())
}
