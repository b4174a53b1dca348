//! What a node does when the server behind its log or its transport goes away, through what the harness itself can do.

use std::{sync::Arc, time::Duration};

use invalidation_core::{Invalidation, Scope};

use super::{
    NodeHarness,
    gate::Gate,
    scopes::{in_cache, of_key},
    stage::Stage,
    under_test::Freshness::{Eventual, Strict},
    wire::Line,
};
use crate::{
    Disruption, Unable,
    disruption::mended,
    wait::{self, eventually},
};

/// How long a log is away at least, where it leaves its writers without an answer.
const AWAY: Duration = Duration::from_millis(300);

/// P1, P10: a log whose server is killed, and starts again, hides from no node what it had acknowledged.
pub(crate) async fn killed_log_hides_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    log_outage(&harness, Disruption::Kill, Some(Disruption::Restart)).await
}

/// P1, P10: nor does one that ends in an orderly way.
pub(crate) async fn stopped_log_hides_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    log_outage(&harness, Disruption::Stop, Some(Disruption::Restart)).await
}

/// P1, P4: nor one that is paused; no silence is taken for nothing new.
pub(crate) async fn paused_log_hides_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    log_outage(&harness, Disruption::Pause, Some(Disruption::Resume)).await
}

/// P1, P20: nor one behind a link that is cut.
pub(crate) async fn cut_link_to_the_log_hides_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    log_outage(&harness, Disruption::Cut, Some(Disruption::Heal)).await
}

/// P1, P4: nor one behind a link that swallows everything.
pub(crate) async fn silent_link_to_the_log_hides_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    log_outage(&harness, Disruption::BlackHole, Some(Disruption::Heal)).await
}

/// P1, P10: nor one whose standby takes over: what it lost is told.
pub(crate) async fn failed_over_log_hides_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    log_outage(&harness, Disruption::FailOver, None).await
}

/// Node 1 is told of a write neither by its transport nor, before the log is broken, by the log.
async fn log_outage(
    harness: &Arc<dyn NodeHarness>,
    begins: Disruption,
    ends: Option<Disruption>,
) -> Result<(), Unable> {
    let stage = Stage::with(harness, 2).await?;
    let behind = &stage.places[1];
    for place in [0, 1] {
        stage.warm(place, "1").await;
        stage.warm(place, "2").await;
    }
    behind.wire.set(Line::Swallows);
    behind.gate.set(Gate::Hangs);
    behind.gate.next_begun().await; // What was under way before is over.
    stage.write_elsewhere("1", 1).await;
    stage.space.log.disrupt(begins).await?;
    behind.gate.set(Gate::Open);
    for place in [0, 1] {
        assert_eq!(
            stage.read(place, Strict, "1").await,
            1,
            "{begins:?}: a strict read on node {place} missed what the log had acknowledged"
        );
    }
    let mut writing = write_meanwhile(&stage);
    let early = tokio::time::timeout(AWAY, &mut writing).await;
    if let Some(ends) = ends {
        mended(ends, stage.space.log.disrupt(ends).await);
    }
    let written = match early {
        Ok(written) => written,
        Err(_) => wait::within("a write while the log is away", wait::PATIENCE, writing).await,
    };
    written.expect("the write ends, and is seen where it was made");
    takes_entries_again(&stage).await;
    behind.wire.set(Line::Open);
    stage.converges("1", 1).await;
    for version in 2..=3 {
        stage.write(0, "1", version).await;
        stage.converges("1", version).await;
    }
    Ok(())
}

/// A write on node 0, which may be refused or never be answered; but node 0 itself never serves the old row after it
/// (P6), and no other node waits for it (P16).
fn write_meanwhile(stage: &Stage) -> tokio::task::JoinHandle<()> {
    let (place, rows) = (Arc::clone(&stage.places[0]), stage.rows.clone());
    tokio::spawn(async move {
        rows.write("2", 1);
        let told = place.node().invalidate(of_key("2")).await;
        let read = place.read(Eventual, "2", rows.loader("2")).await;
        assert_eq!(
            read, 1,
            "a node serves what it was told is old (the append: {told:?})"
        );
    })
}

/// The handles of old connections may need a moment.
async fn takes_entries_again(stage: &Stage) {
    eventually!("the log takes entries again", {
        stage.append(of_key("other")).await.ok()
    });
}

/// P6, P1: a full log is an error for the writer, whose node drops the row all the same, and tells the others.
pub(crate) async fn full_log_is_told_and_applied(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    refusing_log(&harness, Disruption::Fill, Disruption::Empty).await
}

/// P6, P1: so is one that has become read-only.
pub(crate) async fn read_only_log_is_told_and_applied(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    refusing_log(&harness, Disruption::ReadOnly, Disruption::Writable).await
}

async fn refusing_log(
    harness: &Arc<dyn NodeHarness>,
    begins: Disruption,
    ends: Disruption,
) -> Result<(), Unable> {
    let stage = Stage::with(harness, 2).await?;
    stage.space.log.disrupt(begins).await?;
    let (mut version, mut refused) = (0, 0);
    // A little room may be left; and the fan-out, which alone tells node 1, may lose a frame.
    eventually!("node 1 hears of a write that the log refuses", {
        for place in [0, 1] {
            stage.warm(place, "1").await;
        }
        version += 1;
        stage.rows.write("1", version);
        let large = Scope::keys(["1".to_owned(), format!("{version}/{}", "x".repeat(50_000))]);
        let what = vec![in_cache(Eventual.cache(), large)];
        let node = stage.places[0].node();
        let told = wait::within("a refusal", wait::PATIENCE, node.invalidate(what)).await;
        assert_eq!(
            stage.read(0, Eventual, "1").await,
            version,
            "a node serves what it was told is old (the append: {told:?})"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        let heard = stage.read(1, Eventual, "1").await == version;
        refused += u32::from(told.is_err());
        (told.is_err() && heard).then_some(())
    });
    assert!(refused > 0, "{begins:?}: no write was refused");
    mended(ends, stage.space.log.disrupt(ends).await);
    takes_entries_again(&stage).await;
    stage.write(0, "1", version + 1).await;
    stage.converges("1", version + 1).await;
    Ok(())
}

/// P15, P10: a transport whose server is killed costs no write, and carries frames again when it is back.
pub(crate) async fn killed_transport_is_heard_again(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    transport_outage(&harness, Disruption::Kill, Disruption::Restart).await
}

/// P15, P10: so does one that is paused.
pub(crate) async fn paused_transport_is_heard_again(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    transport_outage(&harness, Disruption::Pause, Disruption::Resume).await
}

/// P15, P10: so does one behind a link that is cut.
pub(crate) async fn cut_transport_is_heard_again(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    transport_outage(&harness, Disruption::Cut, Disruption::Heal).await
}

/// P15, P10: so does one behind a link that swallows everything.
pub(crate) async fn silent_transport_is_heard_again(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    transport_outage(&harness, Disruption::BlackHole, Disruption::Heal).await
}

async fn transport_outage(
    harness: &Arc<dyn NodeHarness>,
    begins: Disruption,
    ends: Disruption,
) -> Result<(), Unable> {
    let stage = Stage::with(harness, 2).await?;
    for place in [0, 1] {
        stage.warm(place, "1").await;
    }
    stage.space.disrupt_transport(1, begins).await?;
    for (version, by) in [(1, 0), (2, 1)] {
        stage.write(by, "1", version).await;
        for place in [0, 1] {
            assert_eq!(stage.read(place, Strict, "1").await, version);
        }
        stage.converges("1", version).await;
    }
    mended(ends, stage.space.disrupt_transport(1, ends).await);
    hears_without_the_log(&stage, [0, 1], 3).await;
    hears_without_the_log(&stage, [1, 0], 1_000).await;
    Ok(())
}

/// What is written on the one is heard of on the other, whose log cannot be read. `first` is a new version.
async fn hears_without_the_log(stage: &Stage, [from, to]: [usize; 2], first: u64) {
    let place = &stage.places[to];
    place.gate.set(Gate::Fails);
    place.gate.next_begun().await; // What was under way before is over.
    stage.read(to, Eventual, "1").await;
    let mut version = first;
    // The fan-out may lose a frame, so it gets more than one.
    let what = format!("what is written on node {from} is heard of on node {to} by the transport");
    eventually!(what, {
        stage.write(from, "1", version).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        version += 1;
        (stage.read(to, Eventual, "1").await >= first).then_some(())
    });
    place.gate.set(Gate::Open);
    stage.converges("1", version - 1).await;
}

/// P14, P15: a process that ends, and another one that starts in its place, hear and are heard: by the log, and again
/// by the transport.
pub(crate) async fn replaced_process_hears_and_is_heard(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let mut stage = Stage::with(&harness, 2).await?;
    for version in 1..=5 {
        stage.warm(0, "1").await;
        stage.write(1, "1", version).await;
        stage.converges("1", version).await;
    }
    stage.replace_last().await?;
    for version in 6..=8 {
        stage.warm(0, "1").await;
        stage.write(1, "1", version).await;
        stage.converges("1", version).await;
    }
    hears_without_the_log(&stage, [1, 0], 9).await;
    hears_without_the_log(&stage, [0, 1], 1_000).await;
    // Everything still reaches both.
    stage.rows.write("1", 10_000);
    stage.invalidate(0, vec![Invalidation::Everything]).await;
    stage.converges("1", 10_000).await;
    Ok(())
}
