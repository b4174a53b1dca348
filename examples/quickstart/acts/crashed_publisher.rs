//! Act 3: a writer commits, and is killed before it tells anybody.

use crate::{observe::observed, show::Show};

/// Kills one node after the other, and replaces it.
pub(crate) async fn crashed_publisher(show: &mut Show) -> anyhow::Result<()> {
    let crashes = show.pace.crashes;
    let (title, when) = match show.cluster.home().broker {
        None => (
            "writer killed before it publishes",
            "A writer commits and is killed (SIGKILL) before it publishes",
        ),
        // The two steps are no transaction: who dies between them takes the invalidation along.
        Some(_) => (
            "writer killed once it has logged",
            "A writer commits, logs, and is killed (SIGKILL)",
        ),
    };
    let act = show.begin(title, &format!("{when}, {crashes} times."));
    for crash in 0..crashes {
        show.stage.progress(format!("{crash} of {crashes} crashes"));
        let key = show.some_key();
        let version = show.history.newest(key) + 1;
        let victim = show.cluster.node(crash).clone();
        let watchers = show.cluster.others(crash);
        // What it read dies with it.
        let reads = victim.reads().await?;
        let dying = async move { victim.write_and_die(key).await };
        let arrival = observed(dying, watchers, (key, version)).await?;
        show.record(act, arrival);
        show.cluster.replace(crash, reads).await?;
    }
    show.result(&show.latencies());
    Ok(())
}
