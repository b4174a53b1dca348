//! What must not be shown.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use invalidation_core::{Error, Outgoing};

use super::{
    Member, Stranger, TransportHarness,
    listening::Listener,
    publishing::{failures, failures_of},
};
use crate::{Disruption, Unable};

/// No secret stands in any `Debug` text or error, whatever fails.
pub(crate) async fn no_secret_is_shown(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let secrets = cluster.secrets();
    if secrets.is_empty() {
        return Err(Unable::because("it has no secrets"));
    }
    let members = cluster.members();
    let _listeners = Listener::at_all(members).await;
    let mut shown = String::new();
    collect(&mut shown, &members[0]).await;
    for stranger in [
        Stranger::OtherCluster,
        Stranger::WrongSecret,
        Stranger::WrongHost,
        Stranger::WrongTls,
    ] {
        // One that cannot be made shows nothing.
        if let Ok(stranger) = cluster.stranger(stranger).await {
            collect(&mut shown, &stranger).await;
        }
    }
    if cluster.disrupt(0, Disruption::Cut).await.is_ok() {
        collect(&mut shown, &members[0]).await;
    }
    let largest = members[1].transport.capabilities().max_frame;
    let too_large = Outgoing::to_all(Bytes::from(vec![0; largest.min(64 << 20) + 1]));
    for error in failures(members[1].transport.publish(too_large).await) {
        describe(&mut shown, &error);
    }
    members[1].transport.close().await.expect("closes");
    collect(&mut shown, &members[1]).await;
    for (number, secret) in secrets.iter().enumerate() {
        let bytes = format!("{:?}", secret.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        let shows = |line: &&str| line.contains(secret) || line.contains(bytes);
        let lines: Vec<_> = shown.lines().filter(shows).collect();
        // Not repeated here either.
        assert!(
            lines.is_empty(),
            "expected no secret in any error or Debug text, and secret {} of {} stands in:\n{}",
            number + 1,
            secrets.len(),
            lines
                .join("\n")
                .replace(secret, "<the secret>")
                .replace(bytes, "<the secret>")
        );
    }
    Ok(())
}

/// What its calls and its `Debug` show now.
async fn collect(shown: &mut String, member: &Member) {
    let _ = writeln!(shown, "{:?}", member.transport);
    if let Err(error) = member.transport.probe().await {
        describe(shown, &error);
    }
    for _ in 0..2 {
        for error in failures_of(member, "x").await {
            describe(shown, &error);
        }
    }
    if let Err(error) = member.transport.subscribe().await {
        describe(shown, &error);
    }
    let _ = writeln!(shown, "{:#?}", member.transport);
}

/// An error as people and logs see it, with its causes.
fn describe(shown: &mut String, error: &Error) {
    let _ = writeln!(shown, "{error}\n{error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = writeln!(shown, "{cause}");
        source = cause.source();
    }
}
