//! How stale a read may be.

use std::{pin::pin, sync::Arc};

use super::{
    NodeHarness,
    gate::Gate,
    scopes::of_key,
    stage::Stage,
    timing::{MAX_STALENESS, TTL},
    under_test::Freshness::{Bounded, Eventual, Strict},
};
use crate::{
    Unable,
    wait::{self, arrive, eventually},
};

/// P3, P20: while the log cannot be read, bounded and strict reads load; afterwards they are served again.
pub(crate) async fn unreadable_log_is_bypassed(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.warm(0, "1").await;
    stage.places[0].isolate();
    stage.write_elsewhere("1", 1).await;
    stage.places[0].clock.leap(MAX_STALENESS);
    assert_eq!(stage.read(0, Bounded, "1").await, 1, "past its bound");
    assert_eq!(stage.read(0, Strict, "1").await, 1, "strictly");
    stage.places[0].heal();
    stage.converges("1", 1).await;
    Ok(())
}

/// P3: a strict read sees every commit before it, without any transport; and it is served from memory all the same.
pub(crate) async fn strict_read_sees_every_commit(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    for version in 1..=20 {
        stage.write_elsewhere("1", version).await;
        assert_eq!(
            stage.read(0, Strict, "1").await,
            version,
            "a strict read missed what was committed before it"
        );
    }
    eventually!("a strict read is a hit", {
        let (loader, load) = stage.rows.held_loader("1");
        load.release();
        let read = stage.places[0].read(Strict, "1", loader).await;
        assert_eq!(read, 20);
        (!load.was_begun()).then_some(())
    });
    Ok(())
}

/// P3: a strict read shares no log read that had begun before it came.
pub(crate) async fn strict_read_shares_no_read_already_begun(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let place = &stage.places[0];
    for version in 1..=5 {
        stage.read(0, Strict, "1").await;
        place.gate.set(Gate::AnswersHang);
        place.gate.next_looked().await;
        stage.write_elsewhere("1", version).await; // After it looked.
        let mut read = pin!(place.read(Strict, "1", stage.rows.loader("1")));
        let mut early = arrive(read.as_mut()).await; // Before the answer does.
        let (ended, next) = (place.gate.next_end(), place.gate.next_begun());
        place.gate.set(Gate::Hangs); // The answer comes, and no other one.
        ended.await;
        next.await; // It has applied the answer.
        for _ in 0..20 {
            if early.is_some() {
                break;
            }
            early = arrive(read.as_mut()).await;
            tokio::task::yield_now().await;
        }
        place.gate.set(Gate::Open);
        let read = match early {
            Some(read) => read,
            None => wait::within("the read", wait::PATIENCE, read).await,
        };
        assert_eq!(
            read, version,
            "a strict read was satisfied by a log read that began before it"
        );
    }
    Ok(())
}

/// P4: the lease counts from the start of the read that proved completeness, not from its end.
pub(crate) async fn lease_counts_from_the_start_of_the_read(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let place = &stage.places[0];
    let mut version = 0;
    eventually!("a node waits for an answer for as long as that takes", {
        stage.warm(0, "1").await;
        let given_up = place.gate.pace().given_up();
        place.gate.set(Gate::AnswersHang);
        place.gate.next_looked().await;
        version += 1;
        stage.write_elsewhere("1", version).await;
        place.clock.stop(); // What it holds now lapses for no time that the suite takes.
        place.clock.leap(MAX_STALENESS); // It took so long.
        let (ended, next) = (place.gate.next_end(), place.gate.next_begun());
        place.gate.set(Gate::Hangs); // Its answer comes, and no other one.
        ended.await;
        next.await; // It has applied the answer.
        assert!(
            !stage.holds(0, Bounded, "1"),
            "the bounded cache serves what is staler than its bound"
        );
        let waited = place.gate.pace().given_up() == given_up;
        place.clock.go_on();
        place.heal();
        assert_eq!(stage.read(0, Bounded, "1").await, version);
        waited.then_some(())
    });
    Ok(())
}

/// P4: a page that is not the last of its series does not renew the lease.
pub(crate) async fn partial_read_renews_nothing(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let place = &stage.places[0];
    stage.warm(0, "1").await;
    place.gate.set(Gate::Hangs);
    place.gate.next_begun().await;
    for other in ["a", "b", "c"] {
        stage.append(of_key(other)).await.expect("appends");
    }
    stage.write_elsewhere("1", 1).await; // On a later page.
    place.clock.leap(MAX_STALENESS);
    place.clock.stop(); // A lease that is wrong does not lapse before it is seen.
    let ended = place.gate.next_end();
    place.gate.set(Gate::Fails);
    ended.await; // Every read from here on begins after the leap.
    let applied = place.gate.next_applied();
    place.gate.set(Gate::Pages(1));
    applied.await;
    assert!(
        !stage.holds(0, Bounded, "1"),
        "a page that was not the last renewed the lease"
    );
    place.clock.go_on();
    place.heal();
    assert_eq!(stage.read(0, Bounded, "1").await, 1);
    Ok(())
}

/// P4: while no read says that it was complete, no bounded read is served from memory for longer than its bound.
pub(crate) async fn incomplete_reads_let_the_lease_lapse(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let place = &stage.places[0];
    stage.warm(0, "1").await;
    place.gate.set(Gate::Partial);
    place.gate.next_whole().await; // What was under way is over.
    place.clock.leap(MAX_STALENESS);
    place.clock.stop(); // A lease that is wrong does not lapse before it is seen.
    for _ in 0..3 {
        assert!(
            !stage.holds(0, Bounded, "1"),
            "an incomplete read renewed the lease"
        );
        place.gate.next_begun().await;
    }
    place.clock.go_on();
    place.heal();
    stage.write_elsewhere("1", 1).await;
    stage.converges("1", 1).await;
    Ok(())
}

/// The hard bound: a TTL counts from the start of the load, and no access extends it.
pub(crate) async fn access_extends_no_ttl(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let place = &stage.places[0];
    stage.warm(0, "1").await;
    place.isolate(); // Nobody tells it.
    stage.write_elsewhere("1", 1).await;
    for tenth in 1..10 {
        place.clock.leap(TTL / 10);
        let read = stage.read(0, Eventual, "1").await;
        if tenth < 9 && read == 1 {
            return Ok(()); // It gave the entry up earlier, which it may.
        }
    }
    place.clock.leap(TTL / 10);
    assert_eq!(
        stage.read(0, Eventual, "1").await,
        1,
        "an entry that is read all the time outlived its TTL"
    );
    Ok(())
}
