//! While the backend is away, and after.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Member, TransportHarness,
    breaking::mend,
    listening::{Heard, Listener, list, show},
    publishing::{failures_of, publish},
};
use crate::{
    Disruption, Unable,
    wait::{PATIENCE, eventually, within},
};

/// More than a loaded machine adds to a time-out.
const MARGIN: Duration = Duration::from_secs(5);
/// More than it adds to a wait.
const LATER: Duration = Duration::from_secs(1);
/// How often a frame of after the outage is published.
const READING: Duration = Duration::from_millis(50);
/// So many frames without a gap are calm.
const IN_A_ROW: usize = 20;

/// What is published while the backend is away fails within the time-out, and is not delivered once it is back, unless
/// that is declared.
///
/// That nothing comes minutes later is seen in seconds, since a frame that was kept has few ways out once the link is
/// well. A driver's queue empties when its client has connected again, which the longest back-off bounds, or when the
/// next frame is published, which this case goes on to do. A retry of the call itself comes at the latest when another
/// back-off and time-out have passed since. So the case watches for so long after the first frame of later arrived. Out
/// of its sight is only a timer longer than the back-off that the harness declares.
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
    mend(&*cluster, 0, Disruption::Heal).await;
    let afterwards = cluster.longest_back_off() + cluster.publish_timeout() + LATER;
    let deadline = Instant::now() + PATIENCE;
    let (mut late, mut back) = (Vec::new(), None::<Instant>);
    while back.is_none_or(|back| back.elapsed() < afterwards) {
        assert!(
            back.is_some() || Instant::now() < deadline,
            "expected a frame to arrive within {PATIENCE:?} after the link healed, and none did"
        );
        drop(failures_of(from, "after").await);
        while let Ok(heard) = tokio::time::timeout(READING, listener.hear()).await {
            match heard {
                Heard::Frame(frame) if frame.bytes == "after" => {
                    back.get_or_insert_with(Instant::now);
                }
                Heard::Frame(frame) => late.push(frame.bytes),
                Heard::Gap(_) => {}
                Heard::End(_) => listener = subscribe_again(to).await,
            }
        }
        if back.is_some() && cluster.delivers_late() {
            return Ok(());
        }
    }
    assert!(
        late.is_empty(),
        "expected nothing of what failed while the link was cut, and got within {afterwards:?} after it healed: {}",
        list(&late)
    );
    Ok(())
}

async fn subscribe_again(member: &Member) -> Listener {
    let subscription = eventually!(
        "the node subscribes again",
        member.transport.subscribe().await.ok()
    );
    Listener::on(member, subscription)
}

/// After a link was cut and is well again, be it the subscriber's or the publisher's, frames come again as while nothing
/// fails, one after another, each once and without a gap: a loss is told, and then it is over. What comes twice in the
/// moment of connecting again is well too, since under faults frames may.
pub(crate) async fn calm_returns_after_a_cut(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    for of in [1, 0] {
        let cluster = harness.cluster(2).await?;
        let [from, to] = cluster.members() else {
            panic!("the harness was asked for two nodes")
        };
        let mut listener = Listener::at(to).await;
        publish(from, "before").await;
        listener.expect("before").await;
        cluster.disrupt(of, Disruption::Cut).await?;
        drop(failures_of(from, "while down").await);
        mend(&*cluster, of, Disruption::Heal).await;
        comes_to_calm(from, to, listener).await;
    }
    Ok(())
}

/// Publishes numbers until so many come in a row, and nothing after them.
async fn comes_to_calm(from: &Member, to: &Member, mut listener: Listener) {
    let deadline = Instant::now() + PATIENCE;
    // The number that is to be published, and the one that is to come.
    let (mut next, mut awaited) = (0_u64, 0);
    let (mut in_a_row, mut last) = (0, "nothing".to_owned());
    let mut under_way = false;
    loop {
        assert!(
            Instant::now() < deadline,
            "expected {IN_A_ROW} frames in a row, each once and without a gap, within {PATIENCE:?} after the link healed, \
             and what last came between is {last}"
        );
        // No more is published than is read: an overflow would be a gap of this case's own making.
        if !under_way && in_a_row < IN_A_ROW {
            drop(failures_of(from, format!("{next}")).await);
            next += 1;
            under_way = true;
        }
        match tokio::time::timeout(READING, listener.hear()).await {
            Ok(Heard::Frame(frame)) => match number(&frame.bytes) {
                Some(came) if came >= awaited => {
                    if came > awaited {
                        last = format!("{came} in place of {awaited}");
                        in_a_row = 0;
                    }
                    in_a_row += 1;
                    awaited = came + 1;
                    under_way = awaited < next;
                }
                _ => {
                    last = format!("{} again, or late", show(&frame.bytes));
                    in_a_row = 0;
                }
            },
            Ok(Heard::Gap(gap)) => (last, in_a_row) = (gap, 0),
            Ok(Heard::End(end)) => {
                (last, in_a_row) = (end, 0);
                listener = subscribe_again(to).await;
            }
            Err(_) if in_a_row >= IN_A_ROW => return,
            Err(_) => under_way = false,
        }
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A probe is well when the backend is there, fails within the time-out when it is not, and is well again after.
pub(crate) async fn a_probe_tells_the_truth(
    harness: Arc<dyn TransportHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let cluster = harness.cluster(2).await?;
    let member = &cluster.members()[0];
    let limit = cluster.publish_timeout() + MARGIN;
    for round in 0..2 {
        if let Err(error) = within("probe", limit, member.transport.probe()).await {
            panic!("expected a probe to be well while nothing fails: {error}");
        }
        match cluster.disrupt(0, Disruption::Cut).await {
            Ok(()) => {}
            Err(unable) if round == 0 => return Err(unable),
            Err(unable) => panic!("expected a second Cut, and the harness cannot: {unable}"),
        }
        for _ in 0..2 {
            let probed = within("probe while down", limit, member.transport.probe()).await;
            assert!(
                probed.is_err(),
                "expected a probe to fail while the link is cut, and it was well"
            );
        }
        mend(&*cluster, 0, Disruption::Heal).await;
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
    mend(&*cluster, 1, Disruption::Heal).await;
    Ok(())
}
