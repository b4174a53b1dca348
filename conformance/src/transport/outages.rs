//! While the backend is away, and after.

use std::{sync::Arc, time::Duration};

use super::{
    Member, TransportHarness,
    listening::{Heard, Listener},
    publishing::{failures_of, publish},
};
use crate::{
    Disruption, Unable,
    wait::{eventually, within},
};

/// More than a loaded machine adds to a time-out.
const MARGIN: Duration = Duration::from_secs(5);
/// How long nothing of before may come after an outage: a driver that keeps what failed sends it when it is back.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What is published while the backend is away fails within the time-out, and is not delivered once it is back, unless
/// that is declared.
pub(crate) async fn publishing_while_down_fails_in_time(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    publish(from, "before").await;
    listener.expect("before").await;
    cluster.disrupt(0, Disruption::Cut).await?;
    let limit = cluster.publish_timeout() + MARGIN;
    for n in 0..5 {
        let text = format!("while down {n}");
        let failures = within("publish while down", limit, failures_of(from, &text)).await;
        assert!(
            !failures.is_empty(),
            "expected an error for frame {text:?}, published while the link is cut, and it was said to be well"
        );
    }
    cluster.disrupt(0, Disruption::Heal).await?;
    let mut late = Vec::new();
    let mut back = false;
    eventually!("a frame arrives after the link healed", {
        drop(failures_of(from, "after").await);
        while let Ok(heard) = tokio::time::timeout(Duration::from_millis(50), listener.hear()).await
        {
            match heard {
                Heard::Frame(frame) if frame.bytes == "after" => back = true,
                Heard::Frame(frame) => late.push(frame.bytes),
                Heard::Gap(_) => {}
                Heard::End(_) => listener = subscribe_again(to).await,
            }
        }
        back.then_some(())
    });
    if cluster.delivers_late() {
        return Ok(());
    }
    assert!(
        late.is_empty(),
        "expected nothing of what failed while the link was cut, and got after it healed: {late:?}"
    );
    let of_before = |frame: &invalidation_core::Frame| frame.bytes != "after";
    let what = "a frame whose publishing failed while the link was cut";
    listener.never(what, AFTERWARDS, of_before).await;
    Ok(())
}

async fn subscribe_again(member: &Member) -> Listener {
    let subscription = eventually!(
        "the node subscribes again",
        member.transport.subscribe().await.ok()
    );
    Listener::on(member, subscription)
}

/// A probe is well when the backend is there, fails within the time-out when it is not, and is well again after.
pub(crate) async fn a_probe_tells_the_truth(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let member = &cluster.members()[0];
    let limit = cluster.publish_timeout() + MARGIN;
    for _ in 0..2 {
        if let Err(error) = within("probe", limit, member.transport.probe()).await {
            panic!("expected a probe to be well while nothing fails: {error}");
        }
        cluster.disrupt(0, Disruption::Cut).await?;
        for _ in 0..2 {
            let probed = within("probe while down", limit, member.transport.probe()).await;
            assert!(
                probed.is_err(),
                "expected a probe to fail while the link is cut, and it was well"
            );
        }
        cluster.disrupt(0, Disruption::Heal).await?;
        eventually!(
            "a probe is well after the link healed",
            member.transport.probe().await.ok()
        );
    }
    Ok(())
}

/// Over a link that is slow, but not slower than the time-out, frames still arrive, in order.
pub(crate) async fn a_slow_link_still_delivers(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let [from, to] = cluster.members() else {
        panic!("the harness was asked for two nodes")
    };
    let mut listener = Listener::at(to).await;
    let slow = Disruption::Delay(Duration::from_millis(50));
    cluster.disrupt(1, slow).await?;
    for n in 0..5 {
        publish(from, format!("{n}")).await;
    }
    for n in 0..5 {
        listener.expect(format!("{n}")).await;
    }
    cluster.disrupt(1, Disruption::Heal).await?;
    Ok(())
}
