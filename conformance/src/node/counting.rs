//! Whether what happens to a node can be seen from outside (`P19`).

use std::{collections::BTreeMap, sync::Arc};

use invalidation_core::{Entry, Scope, Sender};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::{
    NodeHarness, gaps::purge_past, gate::Gate, isolation::overflow, scopes::in_cache, stage::Stage,
    timing::MAX_STALENESS, under_test::Freshness::Eventual, wire::Line,
};
use crate::{Unable, wait::eventually};

const FLUSHES: &str = "cache_invalidation_flushes_total";
const GAPS: &str = "cache_invalidation_gaps_total";
const WIDENED: &str = "cache_invalidation_widened_total";
const DROPPED: &str = "cache_invalidation_dropped_total";
const LAPSES: &str = "cache_invalidation_lease_lapses_total";

/// P19: each flush, gap, widening, drop and lapse is counted, with its reason.
///
/// On a thread of its own, whose recorder hears of nobody else.
pub(crate) async fn what_happens_is_counted(
    harness: Arc<dyn NodeHarness>,
    _seed: u64,
) -> Result<(), Unable> {
    let on_its_own = move || {
        let recorder = DebuggingRecorder::new();
        let counters = Counters::new(recorder.snapshotter());
        metrics::with_local_recorder(&recorder, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(counted(&harness, counters))
        })
    };
    match tokio::task::spawn_blocking(on_its_own).await {
        Ok(result) => result,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

async fn counted(harness: &Arc<dyn NodeHarness>, mut counters: Counters) -> Result<(), Unable> {
    let stage = Stage::with(harness, 1).await?;
    let place = &stage.places[0];
    stage.warm(0, "1").await;

    purge_past(&stage).await?;
    place.heal();
    stage.converges("1", 1).await;
    counters.expect(FLUSHES, "its cursor expired").await;
    counters.expect(GAPS, "its cursor expired").await;

    counters.forget();
    place.wire.heard_by_the_node().await;
    let nonsense = bytes::Bytes::from_static(b"\xffwhat");
    place.wire.inject(nonsense, Sender::Authenticated);
    counters
        .expect(GAPS, "it was given a frame that nobody can read")
        .await;

    counters.forget();
    place.gate.set(Gate::Fails);
    place.clock.leap(2 * MAX_STALENESS);
    counters
        .expect(LAPSES, "its log could not be read for longer than a bound")
        .await;
    place.heal();

    let other = Entry::new(in_cache(Eventual.cache(), Scope::All));
    place.wire.carry_for("another", other);
    counters
        .expect(DROPPED, "it was given a frame of another cluster")
        .await;

    overflow(&stage).await;
    counters
        .expect(WIDENED, "more waited for its transport than may")
        .await;
    place.wire.set(Line::Open);
    Ok(())
}

/// What was counted since it was forgotten.
struct Counters {
    snapshotter: Snapshotter,
    /// By name, and only what has a reason where it needs one.
    counted: BTreeMap<String, u64>,
}

impl Counters {
    const fn new(snapshotter: Snapshotter) -> Self {
        Self {
            snapshotter,
            counted: BTreeMap::new(),
        }
    }

    /// A snapshot begins each counter anew.
    fn look(&mut self) {
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let name = key.key().name();
            let mut labels = key.key().labels();
            let says_why = labels.any(|label| label.key() == "reason" && !label.value().is_empty());
            if let DebugValue::Counter(count) = value
                && (says_why || name == LAPSES)
            {
                *self.counted.entry(name.to_owned()).or_default() += count;
            }
        }
    }

    fn forget(&mut self) {
        self.look();
        self.counted.clear();
    }

    fn has_risen(&mut self, name: &str) -> bool {
        self.look();
        self.counted.get(name).is_some_and(|count| *count > 0)
    }

    async fn expect(&mut self, name: &str, since: &str) {
        eventually!(
            format!("P19: {name} of the node rises with a reason, since {since}"),
            self.has_risen(name).then_some(())
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter without a reason is not one that tells why; and what was seen once is not seen again.
    #[test]
    fn a_counter_needs_a_reason() {
        let recorder = DebuggingRecorder::new();
        let mut counters = Counters::new(recorder.snapshotter());
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!(GAPS).increment(1);
            metrics::counter!(LAPSES).increment(1);
        });
        assert!(!counters.has_risen(GAPS));
        assert!(counters.has_risen(LAPSES));
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!(GAPS, "reason" => "a test").increment(1);
        });
        assert!(counters.has_risen(GAPS));
        counters.forget();
        assert!(!counters.has_risen(GAPS) && !counters.has_risen(LAPSES));
    }
}
