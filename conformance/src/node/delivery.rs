//! What one node writes, another one reads.

use std::{sync::Arc, time::Duration};

use invalidation_core::{CacheName, Entry, Invalidation, Scope, Sender, frame::Standing};

use super::{
    NodeHarness,
    gate::Gate,
    scopes::{in_cache, of_all, of_key, of_tag},
    stage::Stage,
    under_test::Freshness,
    wire::Line,
};
use crate::{
    Unable,
    wait::{PATIENCE, eventually, within},
};

/// P6: once `invalidate` has returned, this node never serves the old value, in any cache and by any scope.
pub(crate) async fn own_write_is_seen_at_once(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.places[0].isolate(); // Nobody else tells it.
    let scopes = [
        of_key,
        of_tag,
        |_: &str| of_all(),
        |_: &str| vec![Invalidation::Everything],
    ];
    for version in 1..=20 {
        stage.warm(0, "1").await;
        stage.rows.write("1", version);
        let scope = scopes[version as usize % scopes.len()];
        stage.invalidate(0, scope("1")).await;
        let read = stage.read(0, Freshness::Eventual, "1").await;
        assert_eq!(read, version, "the node's own write");
    }
    Ok(())
}

/// P1, P15: with its log unreadable, a node hears of a write by the fan-out alone, drops what that write concerns, and
/// serves the rest from memory, where nothing but a TTL bounds it.
pub(crate) async fn fan_out_alone_delivers(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    let gate = &stage.places[1].gate;
    stage.warm(1, "1").await;
    stage.warm(1, "2").await;
    gate.set(Gate::Fails);
    for _ in 0..3 {
        gate.next_begun().await; // Until the log counts as down for whoever counts.
    }
    let held = |key| stage.holds(1, Freshness::Eventual, key);
    assert!(
        held("1") && held("2"),
        "a log that cannot be read made a node drop what only a TTL bounds"
    );
    // The fan-out may lose a frame, so it gets more than one.
    let mut version = 0;
    eventually!("the write is heard of without the log", {
        version += 1;
        stage.write(0, "1", version).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        (stage.read(1, Freshness::Eventual, "1").await > 0).then_some(())
    });
    assert!(
        held("2"),
        "without its log a node drops more than what the fan-out tells it"
    );
    Ok(())
}

/// P1, P15: with the fan-out cut, the log alone delivers.
pub(crate) async fn log_alone_delivers(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    stage.places[0].wire.set(Line::Swallows);
    for version in 1..=3 {
        stage.warm(1, "1").await;
        stage.write(0, "1", version).await;
        assert_eq!(stage.read(1, Freshness::Strict, "1").await, version);
        stage.converges("1", version).await;
    }
    Ok(())
}

/// P1: a writer that commits and dies before it publishes is heard of from the log.
pub(crate) async fn writer_that_never_publishes_is_heard(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    stage.warm(0, "1").await;
    stage.warm(1, "1").await;
    stage.write_elsewhere("1", 1).await;
    stage.converges("1", 1).await;
    Ok(())
}

/// P1: tags, whole caches and everything reach the other nodes, and what they do not cover is kept.
pub(crate) async fn every_scope_delivers(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    let scopes = [of_tag("1"), of_all(), vec![Invalidation::Everything]];
    for (version, scope) in (1..).zip(scopes) {
        stage.warm(1, "1").await;
        stage.warm(1, "2").await;
        let only_its_own = version == 1;
        stage.rows.write("1", version);
        stage.invalidate(0, scope).await;
        stage.converges("1", version).await;
        if only_its_own {
            let kept = stage.holds(1, Freshness::Eventual, "2");
            assert!(kept, "an invalidation by tag dropped a row without it");
        }
    }
    Ok(())
}

/// P8: frames that come twice, late and in the wrong order leave nothing stale, whether they come before or after what
/// the log says.
pub(crate) async fn doubled_and_reordered_frames_leave_nothing_stale(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    const MOMENT: Duration = Duration::from_millis(100);
    let keys = ["1", "2", "3"];
    let stage = Stage::with(&harness, 2).await?;
    let place = &stage.places[1];
    for version in 1..=6 {
        let log_comes_first = version % 3 != 0;
        match version % 3 {
            0 => place.pause(),
            1 => place.wire.set(Line::Holds),
            _ => place.wire.set(Line::Doubles),
        }
        for (before, key) in keys.into_iter().enumerate() {
            if log_comes_first {
                stage.warm(1, key).await;
            }
            stage.write(0, key, version).await;
            if log_comes_first {
                assert_eq!(stage.read(1, Freshness::Strict, key).await, version);
            }
            if version % 3 != 2 {
                // So that there is an order: what waits together goes in one frame. It may be lost, too; so no longer
                // than a moment, in which the machine runs what is due.
                let pace = place.gate.pace();
                let began = pace.ran();
                while place.wire.held() <= before && pace.ran().saturating_sub(began) < MOMENT {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        place.wire.release_backwards();
        let heard = stage.heard(1).await;
        assert!(
            heard,
            "frames in the wrong order stopped a node from hearing"
        );
        place.gate.set(Gate::Open);
        for key in keys {
            stage.converges(key, version).await;
        }
    }
    Ok(())
}

/// P8: a frame that overtakes its commit lets a node load the old row again; the log entry mends it, since a claim
/// never makes the log be skipped.
pub(crate) async fn early_claim_is_mended_by_the_log(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    early_frame(&harness, Standing::Claimed, Sender::Authenticated).await
}

/// P8, P18: a frame of nobody knows whom never makes the log be skipped, even if it says that it is proven.
pub(crate) async fn forged_proof_is_mended_by_the_log(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let foreign = Entry::new(Invalidation::Everything);
    let positions = stage.log.append(&[foreign]).await.expect("appends");
    let identity = positions[0].identity.clone();
    early_frame_on(&stage, Standing::Proven(Some(identity)), Sender::Unknown).await;
    Ok(())
}

async fn early_frame(
    harness: &Arc<dyn NodeHarness>,
    standing: Standing,
    sender: Sender,
) -> Result<(), Unable> {
    let stage = Stage::with(harness, 1).await?;
    early_frame_on(&stage, standing, sender).await;
    Ok(())
}

async fn early_frame_on(stage: &Stage, standing: Standing, sender: Sender) {
    let name = Freshness::Strict.cache();
    let entry = Entry::new(in_cache(name, Scope::keys(["1"])));
    stage.warm(0, "1").await;
    eventually!("the early frame is applied", {
        stage.places[0]
            .wire
            .carry(entry.clone(), standing.clone(), sender);
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Strict values are never held, as far as anybody can see without waiting; so a load tells.
        let (loader, load) = stage.rows.held_loader("1");
        let read = stage.spawn_read(0, Freshness::Strict, "1", loader);
        load.release();
        let read = read.await.expect("reads");
        assert_eq!(read, 0, "the old row, from before the commit");
        load.was_begun().then_some(())
    });
    stage.rows.write("1", 1);
    stage.log.append(&[entry]).await.expect("appends");
    assert_eq!(
        stage.read(0, Freshness::Strict, "1").await,
        1,
        "the log's entry was skipped, since a frame had claimed it before it was committed"
    );
}

/// P12: frames that nobody can read, and caches that nobody has, change nothing and stop nothing.
pub(crate) async fn nonsense_stops_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    let wire = &stage.places[1].wire;
    stage.warm(1, "1").await;
    wire.heard_by_the_node().await;
    for bytes in [&b""[..], b"\xffwhat", b"\x01\x01\x01"] {
        wire.inject(bytes::Bytes::from_static(bytes), Sender::Authenticated);
    }
    let unknown = CacheName::new("no cache of this suite").expect("a good name");
    let unknown = in_cache(unknown, Scope::All);
    wire.claim(Entry::new(unknown.clone()));
    assert!(
        stage.heard(1).await,
        "a node that was given frames which nobody can read hears of nothing any more"
    );
    stage.append(vec![unknown]).await.expect("appends");
    stage.caught_up(1).await;
    assert!(
        stage.holds(1, Freshness::Eventual, "1"),
        "frames that nobody can read, or a cache that nobody has, made a node drop a row"
    );
    stage.write(0, "1", 1).await;
    stage.converges("1", 1).await;
    Ok(())
}

/// P9, P8: what is marked as applied is applied: a strict read on another node sees each write whose frame arrives
/// while it reads the log.
pub(crate) async fn marked_is_applied(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 2).await?;
    for version in 1..=40 {
        stage.read(1, Freshness::Strict, "1").await;
        stage.write(0, "1", version).await;
        // At once, and after the frame came: the entry may be marked by either way, and by neither too early.
        if version % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(version % 8)).await;
        }
        let read = stage.read(1, Freshness::Strict, "1").await;
        assert_eq!(read, version, "a strict read after the write returned");
    }
    Ok(())
}

/// P18: what another cluster says changes nothing.
pub(crate) async fn another_cluster_changes_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let wire = &stage.places[0].wire;
    stage.warm(0, "1").await;
    wire.heard_by_the_node().await;
    for what in [
        Invalidation::Everything,
        in_cache(Freshness::Eventual.cache(), Scope::keys(["1"])),
    ] {
        wire.carry_for("another", Entry::new(what));
    }
    assert!(stage.heard(0).await, "its own cluster is heard no more");
    assert!(
        stage.holds(0, Freshness::Eventual, "1"),
        "P18: a frame of another cluster made a node drop a row"
    );
    Ok(())
}

/// P8: what a proven frame told, and was applied, costs no second miss when the log tells it too.
pub(crate) async fn proven_duplicate_costs_no_second_miss(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let place = &stage.places[0];
    let name = Freshness::Eventual.cache();
    stage.warm(0, "1").await;
    place.gate.set(Gate::Hangs);
    place.gate.next_begun().await; // What was under way before is over.
    place.wire.heard_by_the_node().await;
    let entry = Entry::new(in_cache(name, Scope::keys(["1"])));
    stage.rows.write("1", 1);
    let positions = stage.log.append(std::slice::from_ref(&entry)).await;
    let identity = positions.expect("appends")[0].identity.clone();
    let proven = Standing::Proven(Some(identity));
    place.wire.carry(entry, proven, Sender::Authenticated);
    eventually!("a frame is applied", {
        (!stage.holds(0, Freshness::Eventual, "1")).then_some(())
    });
    stage.read(0, Freshness::Eventual, "1").await; // The first miss.
    place.gate.set(Gate::Open);
    stage.caught_up(0).await;
    assert!(
        stage.holds(0, Freshness::Eventual, "1"),
        "P8: the log's entry dropped a row again, which a proven frame had dropped before"
    );
    Ok(())
}

/// P9: a frame is acknowledged when it is applied, and no sooner.
pub(crate) async fn acknowledged_is_applied(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let wire = &stage.places[0].wire;
    wire.heard_by_the_node().await;
    for _ in 0..20 {
        stage.warm(0, "1").await;
        let entry = Entry::new(in_cache(Freshness::Eventual.cache(), Scope::keys(["1"])));
        let told = wire.claim_acknowledged(entry);
        let told = within("an acknowledgement", PATIENCE, told).await;
        assert!(
            told.is_ok(),
            "a node that applied a frame told nobody, though it was asked to"
        );
        assert!(
            !stage.holds(0, Freshness::Eventual, "1"),
            "a frame was acknowledged before it was applied"
        );
    }
    Ok(())
}

/// P1, P6: a write that the log does not take is told to the writer, and takes effect on its node all the same.
pub(crate) async fn refused_append_is_told(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.places[0].gate.refuse_appends();
    for version in 1..=3 {
        stage.warm(0, "1").await;
        stage.rows.write("1", version);
        let node = stage.places[0].node();
        let told = within("a write", PATIENCE, node.invalidate(of_key("1"))).await;
        assert!(
            told.is_err(),
            "P1: a write that the log had refused was told to be done"
        );
        let read = stage.read(0, Freshness::Eventual, "1").await;
        assert_eq!(
            read, version,
            "P6: a node serves what it was told is old, since its log refused to say so"
        );
    }
    Ok(())
}
