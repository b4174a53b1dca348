//! Act 1: everything works.

use crate::show::Show;

/// Each node writes in its turn.
pub(crate) async fn all_layers(show: &mut Show) -> anyhow::Result<()> {
    let writes = show.pace.all_layers;
    let act = show.begin(
        "all layers on",
        &format!("All layers on: {writes} writes, by each node in its turn."),
    );
    for write in 0..writes {
        show.stage.progress(format!("{write} of {writes} writes"));
        show.write_and_watch(act, write).await?;
    }
    show.result(&show.latencies());
    Ok(())
}
