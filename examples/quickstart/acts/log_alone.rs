//! Act 2: the fan-out is cut, and the log is all there is.

use std::time::Duration;

use tokio::{task::JoinSet, time::sleep};

use crate::{observe::observed, show::Show};

/// Writes begin so far apart that they fall on all moments of a poll interval.
const APART: Duration = Duration::from_millis(67);

/// Writes while no node reaches any other.
pub(crate) async fn log_alone(show: &mut Show) -> anyhow::Result<()> {
    let writes = show.pace.log_alone;
    let act = show.begin(
        "fan-out cut, the log alone",
        &format!(
            "The network between the nodes is cut: {writes} writes that only the log can tell of."
        ),
    );
    show.cluster.cut_fan_out();
    let mut under_way = JoinSet::new();
    for write in 0..writes {
        // Fewer are under way at a time than there are rows to write, so no two meet on one row.
        let key = show.some_key();
        let version = show.history.newest(key) + 1;
        let node = show.cluster.node(write).clone();
        let watchers = show.cluster.others(write);
        let writing = async move { node.write(key).await };
        under_way.spawn(observed(writing, watchers, (key, version)));
        while let Some(arrived) = under_way.try_join_next() {
            show.record(act, arrived??);
        }
        show.stage.progress(format!("{write} of {writes} writes"));
        sleep(APART).await;
    }
    while let Some(arrived) = under_way.join_next().await {
        show.record(act, arrived??);
    }
    show.cluster.mend_fan_out();
    show.result(&show.latencies());
    Ok(())
}
