//! What must not be shown.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use invalidation_core::{Cursor, SharedLog};
use tokio::time::timeout;

use super::{
    LogHarness, LogSpace,
    entries::key,
    living::errors_of,
    reader::head,
    stage::{Stage, append},
};
use crate::{
    Disruption, Stranger, Unable,
    secrets::{Secrets, describe, watch},
    wait::never,
};

/// What is waited for a call that may hang.
const GIVE_UP: Duration = Duration::from_secs(1);

/// Contract: no credential appears in `Debug` or in any error, whatever fails.
pub(crate) async fn no_secret_is_shown(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let space: Arc<dyn LogSpace> = harness.fresh().await?.into();
    let secrets = Secrets::new(&space.secrets())?;
    let shown = provoked(space).await?;
    secrets.assert_absent("error or Debug text", &shown);
    Ok(())
}

/// Contract: no credential appears in any log line, whatever fails.
pub(crate) async fn no_secret_is_logged(
    harness: Arc<dyn LogHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let space: Arc<dyn LogSpace> = harness.fresh().await?.into();
    let secrets = Secrets::new(&space.secrets())?;
    let watch = watch(&secrets)?;
    provoked(space).await?;
    secrets.assert_none("log line", &watch.found());
    never!(
        format!("a log line shows a secret later: {:?}", watch.found()),
        Duration::from_millis(100),
        !watch.found().is_empty(),
    );
    Ok(())
}

/// All that a log shows while everything that the harness can let fail does.
async fn provoked(space: Arc<dyn LogSpace>) -> Result<String, Unable> {
    let mut shown = String::new();
    let stage = Stage::of(space).await?;
    let cursor = head(&stage.log).await;
    let positions = append(&stage.log, &[key("1")]).await;
    let _ = writeln!(shown, "{cursor} {cursor:?} {positions:?}");
    collect(&mut shown, &stage.log, &cursor).await;

    let mut logs = vec![stage.log.clone()];
    logs.extend(stage.space.connect_without_rights().await);
    for stranger in [
        Stranger::OtherCluster,
        Stranger::WrongSecret,
        Stranger::WrongHost,
        Stranger::WrongTls,
    ] {
        match stage.space.stranger(stranger).await {
            Ok(Ok(log)) => logs.push(log),
            Ok(Err(e)) => describe(&mut shown, &e),
            // One that cannot be made shows nothing.
            Err(_) => {}
        }
    }
    for log in &logs {
        collect(&mut shown, log, &cursor).await;
    }
    for (begins, ends) in [
        (Disruption::Cut, Disruption::Heal),
        (Disruption::BlackHole, Disruption::Heal),
        (Disruption::Stop, Disruption::Restart),
        (Disruption::Kill, Disruption::Restart),
        (Disruption::ReadOnly, Disruption::Writable),
        (Disruption::Fill, Disruption::Empty),
    ] {
        if stage.disrupt(begins).await.is_ok() {
            collect(&mut shown, &stage.log, &cursor).await;
            stage.mend(ends).await;
            collect(&mut shown, &stage.log, &cursor).await;
        }
    }
    for log in &logs {
        if let Ok(Err(e)) = timeout(GIVE_UP, log.close()).await {
            describe(&mut shown, &e);
        }
        collect(&mut shown, log, &cursor).await;
    }
    Ok(shown)
}

/// What its calls and its `Debug` show now.
async fn collect(shown: &mut String, log: &SharedLog, cursor: &Cursor) {
    let _ = writeln!(shown, "{log:?}");
    if let Ok(errors) = timeout(GIVE_UP, errors_of(log, cursor)).await {
        for e in errors.into_iter().filter_map(|(_, e)| e) {
            describe(shown, &e);
        }
    }
    let _ = writeln!(shown, "{log:#?}");
}
