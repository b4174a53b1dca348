//! Act 5: one node can read the log no more, and hears nothing either.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::lease::{until_lease_holds, until_lease_lapses};
use crate::{
    measure::{Millis, grouped},
    show::Show,
};

/// The node that is cut off.
const CUT_OFF: usize = 2;
/// For so long after its lease lapsed.
const LAPSED_FOR: Duration = Duration::from_secs(1);

/// Takes the log and the fan-out away from one node, writes on the others, and gives both back.
pub(crate) async fn unreadable_log(show: &mut Show) -> anyhow::Result<()> {
    let writes = show.pace.unreadable_writes;
    let node = show.cluster.node(CUT_OFF).clone();
    let act = show.begin(
        "log unreadable for one node",
        &format!(
            "Node {} can neither read the log nor hear the others, through {writes} writes: only its lease is left.",
            node.number
        ),
    );
    let before = node.status().await?;
    let lost = Instant::now();
    show.cluster.lose_log(CUT_OFF)?;
    show.cluster.cut_fan_out_to(CUT_OFF);
    // Half of them while the lease still holds, half when it has lapsed.
    for write in 0..writes / 2 {
        show.stage.progress(format!(
            "{write} of {writes} writes, node {} cut off",
            node.number
        ));
        show.write(act, CUT_OFF + 1 + write % 2).await?;
    }
    until_lease_lapses(&node).await?;
    let lapsed = Instant::now();
    for write in writes / 2..writes {
        show.stage
            .progress(format!("{write} of {writes} writes, the lease has lapsed"));
        show.write(act, CUT_OFF + 1 + write % 2).await?;
    }
    sleep(LAPSED_FOR.saturating_sub(lapsed.elapsed())).await;

    let mended = Instant::now();
    show.cluster.find_log(CUT_OFF)?;
    show.cluster.mend_fan_out();
    let after = until_lease_holds(&node).await?;
    show.result(&format!(
        "its lease lapsed after {}, {} reads went to the database instead, and {} after the repair it trusted its cache again",
        Millis::from(lapsed - lost),
        grouped(after.bypassed - before.bypassed),
        Millis::from(mended.elapsed()),
    ));
    if after.bypassed == before.bypassed {
        show.failures.push(format!(
            "node {} bypassed no read although its lease had lapsed",
            node.number
        ));
    }
    Ok(())
}
