//! Wrong nodes: each fails in the case named for it, and its honest sibling passes that case.

#[path = "../support/memory_log.rs"]
mod memory_log;
#[path = "../support/memory_transport.rs"]
mod memory_transport;
#[path = "toy.rs"]
mod toy;
#[path = "wrong_logs_of_nodes.rs"]
mod wrong_logs;

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use invalidation_conformance::{
    NodeHarness, NodeSpace, NodeUnderTest, Pair, Setup, Unable, Verdict, node_suite,
};
use invalidation_core::{Clock, Error, Tick};

use self::{
    memory_log::MemoryLogs, memory_transport::MemoryTransports, toy::Mistake, wrong_logs::Lie,
};

fn in_memory() -> Pair<MemoryLogs, MemoryTransports> {
    Pair(MemoryLogs, MemoryTransports::default())
}

/// A harness that starts another node than ours, or ours on something wrong.
struct Wrong<S>(S);

#[async_trait]
impl<S> NodeHarness for Wrong<S>
where
    S: Starts,
{
    fn name(&self) -> String {
        "wrong".to_owned()
    }

    async fn fresh(&self, nodes: usize) -> Result<NodeSpace, Unable> {
        in_memory().fresh(nodes).await
    }

    async fn start(&self, setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error> {
        self.0.start(setup).await
    }
}

#[async_trait]
trait Starts: Send + Sync + 'static {
    async fn start(&self, setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error>;
}

#[async_trait]
impl Starts for Mistake {
    async fn start(&self, setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error> {
        toy::start(setup, *self).await
    }
}

/// Our own node on a log that lies to it.
#[async_trait]
impl Starts for Lie {
    async fn start(&self, mut setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error> {
        setup.log = wrong_logs::lying(setup.log, *self);
        in_memory().start(setup).await
    }
}

/// Our own node with a clock that does not count the time in which the process did not run.
struct Stopped;

#[derive(Debug)]
struct StoppedClock(Instant);

impl Clock for StoppedClock {
    fn now(&self) -> Tick {
        Tick::from_nanos(3_600_000_000_000 + self.0.elapsed().as_nanos() as u64)
    }
}

#[async_trait]
impl Starts for Stopped {
    async fn start(&self, mut setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error> {
        setup.clock = Arc::new(StoppedClock(Instant::now()));
        in_memory().start(setup).await
    }
}

async fn verdict(starts: impl Starts, case: &str) -> Verdict {
    node_suite(Wrong(starts)).check(case).await
}

/// The wrong one fails, with a text that says `why`, and the honest one passes.
async fn catches(wrong: impl Starts, honest: impl Starts, case: &str, why: &str) {
    assert_eq!(verdict(honest, case).await, Verdict::Passed, "{case}");
    match verdict(wrong, case).await {
        Verdict::Failed(text) => assert!(text.contains(why), "{case} says:\n{text}"),
        other => panic!("{case} did not catch it: {other:?}"),
    }
}

macro_rules! caught {
    ($($test:ident: $wrong:expr, $honest:expr => $case:literal, $why:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            catches($wrong, $honest, $case, $why).await;
        }
    )*};
}

caught! {
    a_cache_without_a_fence: Mistake::NoFence, Mistake::None
        => "overtaken_load_is_not_kept", "was kept after it";
    a_ttl_that_slides: Mistake::SlidingTtl, Mistake::None
        => "access_extends_no_ttl", "outlived its TTL";
    a_lease_renewed_at_the_end_of_the_read: Mistake::LeaseFromTheEnd, Mistake::None
        => "lease_counts_from_the_start_of_the_read", "staler than its bound";
    a_strict_read_that_shares_a_log_read_already_begun: Mistake::SharesReadBegun, Mistake::None
        => "strict_read_shares_no_read_already_begun", "began before it";
    a_caller_that_joins_a_load_begun_before_an_invalidation: Mistake::JoinsOlderLoad, Mistake::None
        => "later_caller_joins_no_older_load", "before the invalidation that it came after";
    a_log_entry_skipped_whose_frame_was_only_claimed: Mistake::BelievesClaims, Mistake::None
        => "early_claim_is_mended_by_the_log", "the log's entry was skipped";
    an_entry_marked_before_it_is_applied: Mistake::MarksBeforeApplying, Mistake::None
        => "marked_is_applied", "a strict read after the write returned";
    a_flush_that_does_not_fence: Mistake::FlushDoesNotFence, Mistake::None
        => "flush_fences_loads", "was kept after it";
    tags_compared_only_at_insert: Mistake::TagsOnlyAtInsert, Mistake::None
        => "later_caller_joins_no_older_load_by_tag", "before the invalidation that it came after";
    a_lease_renewed_by_a_partial_read: Lie::PartialIsComplete, Lie::None
        => "partial_read_renews_nothing", "renewed the lease";
    an_expired_cursor_without_a_flush: Lie::ExpiredIsEmpty, Lie::None
        => "purge_past_a_paused_node_flushes", "did not flush";
    a_cold_node_that_takes_its_cursor_late: Lie::CursorTakenLate, Lie::None
        => "cursor_is_taken_before_the_first_entry", "was missed";
    a_clock_that_stops_while_the_process_is_paused: Stopped, Lie::None
        => "clock_that_leaps_over_a_pause_ends_the_lease", "the time of the pause did not count";
}

/// The honest small node keeps the whole contract: what its mistakes fail in is not what it lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_honest_small_node_passes_every_case() {
    let suite = node_suite(Wrong(Mistake::None));
    let cases: Vec<_> = suite.names().map(str::to_owned).collect();
    let verdicts = cases.iter().map(|case| suite.check(case));
    let verdicts = futures_util::future::join_all(verdicts).await;
    for (case, verdict) in cases.iter().zip(verdicts) {
        assert_eq!(verdict, Verdict::Passed, "{case}");
    }
}

/// Random histories find what they are there to find, whatever the seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_find_stale_reads() {
    for (wrong, case) in [
        (Mistake::NoFence, "history_of_strict_reads"),
        (Mistake::SharesReadBegun, "history_of_strict_reads"),
        (Mistake::JoinsOlderLoad, "history_of_bounded_reads"),
    ] {
        match verdict(wrong, case).await {
            Verdict::Failed(text) => assert!(text.contains("cannot be"), "{wrong:?}: {text}"),
            other => panic!("{case} did not catch {wrong:?}: {other:?}"),
        }
    }
}
