//! Who waits for whom: nobody for a transport, and no writer for a reader.

use std::sync::Arc;

use invalidation_core::{Invalidation, Scope};

use super::{
    NodeHarness,
    gate::Gate,
    scopes::{in_cache, of_key},
    stage::Stage,
    timing::OUTBOX_ITEMS,
    transactions::{begin, end},
    under_test::{
        Ending,
        Freshness::{self, Eventual},
    },
    wire::{Line, Wire},
};
use crate::{
    Unable,
    wait::{self, eventually},
};

/// So many that they are not done in time when each of them, or each that finds a queue full, waits for a time-out.
const WRITES: u64 = 32;

/// Whether what is done waits for publishing: a frame that was published meanwhile was given up before it was done. Once
/// that may be the machine's doing, and not three times in a row.
struct Waits<'a> {
    wire: &'a Wire,
    published: u64,
    in_a_row: u32,
}

impl<'a> Waits<'a> {
    fn of(stage: &'a Stage) -> Self {
        Self {
            wire: &stage.places[0].wire,
            published: 0,
            in_a_row: 0,
        }
    }

    fn begin(&mut self) {
        self.published = self.wire.published();
    }

    fn end(&mut self, what: &str) {
        let has_waited = self.wire.given_up() > self.published;
        self.in_a_row = if has_waited { self.in_a_row + 1 } else { 0 };
        assert!(
            self.in_a_row < 3,
            "P16: {what} waited until the node gave up what it published, on a transport that hangs"
        );
    }
}

/// P16: a transport that hangs makes nobody wait: no writer, and no reader of what others write.
pub(crate) async fn hanging_transport_slows_nobody(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.warm(0, "1").await;
    stage.places[0].wire.set(Line::Hangs);
    let work = async {
        let mut waits = Waits::of(&stage);
        for version in 1..=WRITES {
            waits.begin();
            stage.write(0, "1", version).await;
            waits.end("a write");
            let read = stage.read(0, Eventual, "1").await;
            assert_eq!(read, version, "the node's own write");
            // Nobody waits for a frame that was not begun.
            stage.places[0].wire.has_begun(waits.published).await;
            stage.write_elsewhere("2", version).await;
            let read = stage.read(0, Freshness::Strict, "2").await;
            assert_eq!(read, version, "a strict read");
        }
    };
    let what = "P16: writes and reads of a node whose transport hangs";
    wait::within(what, wait::PATIENCE, work).await;
    Ok(())
}

/// P16: nor does it fail a writer that it fails.
pub(crate) async fn refusing_transport_fails_no_write(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    stage.places[0].wire.set(Line::Refuses);
    for version in 1..=3 {
        stage.warm(0, "1").await;
        stage.rows.write("1", version);
        let node = stage.places[0].node();
        let told = wait::within("a write", wait::PATIENCE, node.invalidate(of_key("1"))).await;
        assert!(
            told.is_ok(),
            "P16: a write that is in the log failed with its transport: {told:?}"
        );
        assert_eq!(stage.read(0, Eventual, "1").await, version, "P6");
    }
    Ok(())
}

/// P16: no commit waits for such a transport, nor fails with it.
pub(crate) async fn broken_transport_holds_up_no_commit(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let mut version = 0;
    for line in [Line::Refuses, Line::Hangs] {
        stage.places[0].wire.set(line);
        let mut waits = Waits::of(&stage);
        for _ in 0..5 {
            version += 1;
            let transaction = begin(&stage, version).await?;
            waits.begin();
            end(&stage, transaction, Ending::Commit).await;
            waits.end("a commit");
        }
    }
    Ok(())
}

/// P16: nor does a writer wait for a reader: not for the node's own read of the log.
pub(crate) async fn hanging_log_read_slows_no_writer(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let gate = &stage.places[0].gate;
    gate.set(Gate::Hangs);
    for version in 1..=3 {
        stage.read(0, Eventual, "1").await;
        gate.next_begun().await;
        let before = gate.pace().given_up();
        stage.write(0, "1", version).await;
        let read = stage.read(0, Eventual, "1").await;
        assert_eq!(read, version, "the node's own write");
        if gate.pace().given_up() == before {
            return Ok(()); // That read hangs still.
        }
    }
    panic!(
        "P16: three writes in a row waited until the node gave up a read of its log, which hangs"
    );
}

/// No more frames than this may be given to a transport that hangs.
const FRAMES: u64 = 256;

/// P11: what waits for a transport that hangs is bounded; when it is too much it widens, and nothing is dropped.
pub(crate) async fn overflow_widens(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let stage = Stage::with(&harness, 1).await?;
    let wire = &stage.places[0].wire;
    let (written, frames) = overflow(&stage).await;
    assert!(
        frames <= FRAMES,
        "P11: {written} writes put {frames} frames under way on a transport that hangs"
    );
    wire.set(Line::Open);
    let missing = || match wire.has_carried(is_wide) {
        true => 0,
        false => written - named(&wire.carried()),
    };
    eventually!(
        format!(
            "P11: of {written} writes each is told, and {} are not",
            missing()
        ),
        (missing() == 0).then_some(())
    );
    let named = named(&wire.carried());
    assert!(
        named < written,
        "P11: {written} keys waited for a transport that hung, and each was told by its name; more than \
         {OUTBOX_ITEMS} were to widen to their cache"
    );
    Ok(())
}

/// Writes more through node 0 than may wait for its transport, which hangs from here on, and gives how many keys that
/// were, and how many frames it gave to that transport, whether it still waits for them or not. Its log refuses the
/// writes: so it is fast, and such a write is published all the same.
pub(crate) async fn overflow(stage: &Stage) -> (usize, u64) {
    let (node, wire) = (stage.places[0].node(), &stage.places[0].wire);
    stage.places[0].gate.refuse_appends();
    wire.set(Line::Hangs);
    wire.carried();
    let before = wire.published();
    let mut written = 0;
    let writing = async {
        for _ in 0..2 * FRAMES {
            if wire.published() - before > FRAMES || wire.has_carried(is_wide) {
                break;
            }
            // More than may wait; it may be under way at once as long as the transport has room.
            let keys: Vec<_> = (written..=written + OUTBOX_ITEMS)
                .map(|key| key.to_string())
                .collect();
            written += keys.len();
            // That it is refused is another case's.
            let _ = node
                .invalidate(vec![in_cache(Eventual.cache(), Scope::keys(keys))])
                .await;
            tokio::task::yield_now().await;
        }
    };
    wait::within("P16: writes that the log refuses", wait::PATIENCE, writing).await;
    (written, wire.published() - before)
}

/// How many keys these name.
fn named(carried: &[Vec<Invalidation>]) -> usize {
    let keys = |one: &Invalidation| match one {
        Invalidation::Cache {
            scope: Scope::Keys(keys),
            ..
        } => keys.len(),
        _ => 0,
    };
    carried.iter().flatten().map(keys).sum()
}

/// Whether this is all of the cache that is written to.
fn is_wide(what: &Invalidation) -> bool {
    match what {
        Invalidation::Everything => true,
        Invalidation::Cache { cache, scope } => {
            *cache == Eventual.cache() && matches!(scope, Scope::All)
        }
    }
}
