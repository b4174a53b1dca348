//! What must not be shown.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use invalidation_core::Outgoing;

use super::{
    Member, Stranger, TransportCluster, TransportHarness, listening::Listener, publishing::failures,
};
use crate::{
    Disruption, Unable,
    secrets::{Secrets, describe, watch},
    wait::never,
};

/// No secret stands in any `Debug` text or error, whatever fails.
pub(crate) async fn no_secret_is_shown(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let secrets = Secrets::new(&cluster.secrets())?;
    let shown = provoked(&*cluster).await?;
    secrets.assert_absent("error or Debug text", &shown);
    Ok(())
}

/// No secret stands in any log line, whatever fails.
pub(crate) async fn no_secret_is_logged(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let secrets = Secrets::new(&cluster.secrets())?;
    let watch = watch(&secrets)?;
    // Another one, made while it is watched.
    drop(cluster);
    let cluster = harness.cluster(2).await?;
    let tried = provoked(&*cluster).await.map(drop);
    drop(cluster);
    secrets.assert_none("log line", &watch.found());
    never!(
        format!("a log line shows a secret later: {:?}", watch.found()),
        Duration::from_millis(100),
        !watch.found().is_empty(),
    );
    tried
}

/// All that its transports show while everything that the harness can let fail does. [`Unable`] when nothing does: a
/// frame that is too large and a closed transport fail without their credentials.
async fn provoked(cluster: &dyn TransportCluster) -> Result<String, Unable> {
    let members = cluster.members();
    let listeners = Listener::at_all(members).await;
    let mut shown = String::new();
    collect(&mut shown, &members[0]).await;
    let mut provoked = 0;
    for stranger in [
        Stranger::OtherCluster,
        Stranger::WrongSecret,
        Stranger::WrongHost,
        Stranger::WrongTls,
    ] {
        // One that cannot be made shows nothing.
        let limit = cluster.publish_timeout();
        if let Ok(stranger) = cluster.stranger(stranger, limit).await {
            provoked += collect(&mut shown, &stranger).await;
        }
    }
    if cluster.disrupt(0, Disruption::Cut).await.is_ok() {
        provoked += collect(&mut shown, &members[0]).await;
    }
    if provoked == 0 {
        return Err(Unable::because(
            "nothing that the harness can do, by strangers or by a Cut, made a call fail: no error was looked at",
        ));
    }
    let largest = members[1].transport.capabilities().max_frame;
    let too_large = Outgoing::to_all(Bytes::from(vec![0; largest.min(64 << 20) + 1]));
    for error in failures(members[1].transport.publish(too_large).await) {
        describe(&mut shown, &error);
    }
    members[1].transport.close().await.expect("closes");
    collect(&mut shown, &members[1]).await;
    // What ends a subscription is told when its loss is noticed.
    let quiet = members[0].transport.capabilities().notices_loss_within + Duration::from_secs(1);
    for listener in listeners {
        listener.describe_told(quiet, &mut shown).await;
    }
    Ok(shown)
}

/// What its calls and its `Debug` show now. How many errors there were.
async fn collect(shown: &mut String, member: &Member) -> usize {
    let mut errors = 0;
    let _ = writeln!(shown, "{:?}", member.transport);
    if let Err(error) = member.transport.probe().await {
        describe(shown, &error);
        errors += 1;
    }
    for _ in 0..2 {
        let frame = Outgoing::to_all(Bytes::from_static(b"x"));
        let published = member.transport.publish(frame).await;
        let _ = writeln!(shown, "{published:?}");
        for error in failures(published) {
            describe(shown, &error);
            errors += 1;
        }
    }
    if let Err(error) = member.transport.subscribe().await {
        describe(shown, &error);
        errors += 1;
    }
    let _ = writeln!(shown, "{:#?}", member.transport);
    errors
}
