//! Wrong nodes: each fails in the case named for it, and the honest one passes every case.

#[path = "../support/memory_transport.rs"]
mod memory_transport;
#[path = "noticing.rs"]
mod noticing;
mod toy_node;
#[path = "wrong_logs_of_nodes.rs"]
mod wrong_logs;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, future::join_all, stream};
use invalidation_conformance::{
    NodeHarness, NodeSpace, NodeUnderTest, Pair, Setup, Suite, Unable, Verdict, node_suite,
};
use invalidation_core::{Clock, Error, Tick};

use self::{noticing::Noticing, toy_node::Mistake, wrong_logs::Lie};
use super::log::toy_log::{Mistake as LogMistake, ToyLogs};

/// Who is wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// A small node of its own.
    Node(Mistake),
    /// The log as our own node sees it.
    Log(Lie),
    /// The server behind the log of our own node.
    Server(LogMistake),
    /// The clock of our own node: it does not count the time in which the process did not run.
    Clock,
}

impl Wrong {
    fn suite(self) -> Suite {
        node_suite(Harness(self))
    }

    async fn verdict(self, case: &str) -> Verdict {
        self.suite().check(case).await
    }
}

/// In memory, on a log and a transport that can be broken in every way.
struct Harness(Wrong);

#[async_trait]
impl NodeHarness for Harness {
    fn name(&self) -> String {
        "wrong".to_owned()
    }

    async fn fresh(&self, nodes: usize) -> Result<NodeSpace, Unable> {
        let log = match self.0 {
            Wrong::Server(mistake) => ToyLogs(Some(mistake)),
            _ => ToyLogs(None),
        };
        Pair(log, Noticing).fresh(nodes).await
    }

    async fn start(&self, mut setup: Setup) -> Result<Arc<dyn NodeUnderTest>, Error> {
        match self.0 {
            Wrong::Node(mistake) => return toy_node::start(setup, mistake).await,
            Wrong::Log(lie) => setup.log = wrong_logs::lying(setup.log, lie),
            Wrong::Server(_) => {}
            Wrong::Clock => setup.clock = Arc::new(StoppedClock),
        }
        Pair(ToyLogs(None), Noticing).start(setup).await
    }
}

/// Its process is paused all the time.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Tick {
        Tick::from_nanos(3_600_000_000_000)
    }
}

/// Each wrong one, and the cases that catch it, with a part of what they say.
macro_rules! caught {
    ($($test:ident: $wrong:expr => $($case:literal, $why:literal;)+)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let all = vec![$(catches($wrong, $case, $why).boxed()),+];
                join_all(all).await;
            }
        )*

        const CATCHING: &[&str] = &[$($($case),+),*];
    };
}

async fn catches(wrong: Wrong, case: &str, why: &str) {
    match wrong.verdict(case).await {
        Verdict::Failed(text) => {
            assert!(text.contains(why), "{case} of {wrong:?} says:\n{text}");
            let replays = text.contains(case) && text.contains("CONFORMANCE_SEED=");
            assert!(replays, "{case} of {wrong:?} says:\n{text}");
        }
        other => panic!("{case} did not catch {wrong:?}: {other:?}"),
    }
}

caught! {
    a_cache_without_a_fence: Wrong::Node(Mistake::NoFence) =>
        "overtaken_load_is_not_kept", "was kept after it";
        "history_of_strict_reads", "P3, a strict read";
    a_fence_that_ignores_tags: Wrong::Node(Mistake::NoFenceByTag) =>
        "overtaken_load_is_not_kept_by_tag", "was kept after it";
    a_fence_that_ignores_clears: Wrong::Node(Mistake::NoFenceByClear) =>
        "overtaken_load_is_not_kept_by_clear", "was kept after it";
    a_fence_that_ignores_the_log: Wrong::Node(Mistake::LogDoesNotFence) =>
        "load_overtaken_by_the_log_is_not_kept", "was kept after it";
    a_flush_that_does_not_fence: Wrong::Node(Mistake::FlushDoesNotFence) =>
        "flush_fences_loads", "was kept after it";
        "overtaken_load_is_not_kept_by_flush", "was kept after it";
    a_ttl_that_slides: Wrong::Node(Mistake::SlidingTtl) =>
        "access_extends_no_ttl", "outlived its TTL";
    a_lease_renewed_at_the_end_of_the_read: Wrong::Node(Mistake::LeaseFromTheEnd) =>
        "lease_counts_from_the_start_of_the_read", "staler than its bound";
    a_lease_renewed_by_a_partial_read: Wrong::Log(Lie::PartialIsComplete) =>
        "partial_read_renews_nothing", "renewed the lease";
        "incomplete_reads_let_the_lease_lapse", "renewed the lease";
    a_strict_read_that_shares_a_log_read_already_begun: Wrong::Node(Mistake::SharesReadBegun) =>
        "strict_read_shares_no_read_already_begun", "began before it";
        "history_of_strict_reads", "P3, a strict read";
    a_strict_read_by_the_lease_of_a_bounded_one: Wrong::Node(Mistake::StrictIsBounded) =>
        "strict_read_sees_every_commit", "missed what was committed before it";
        "clock_that_stands_over_a_pause_converges", "by the lease alone";
        "history_across_log_outages", "P3, a strict read";
        "history_across_transport_outages", "P3, a strict read";
    a_node_that_serves_what_is_stale: Wrong::Node(Mistake::ServesStale) =>
        "unreadable_log_is_bypassed", "past its bound";
    a_node_that_drops_everything_without_its_log: Wrong::Node(Mistake::DropsAllWithoutLog) =>
        "fan_out_alone_delivers", "drop what only a TTL bounds";
    a_node_that_never_reads_its_log: Wrong::Node(Mistake::NeverPolls) =>
        "log_alone_delivers", "P20: node 0 has no lease";
        "writer_that_never_publishes_is_heard", "still reads version 0";
    a_node_that_gives_its_log_up: Wrong::Node(Mistake::StopsPollingAfterAFailure) =>
        "nodes_converge_after_healing", "P20";
        "killed_log_hides_nothing", "P20";
        "stopped_log_hides_nothing", "P20";
        "cut_link_to_the_log_hides_nothing", "P20";
    a_node_that_backs_off_for_seconds: Wrong::Node(Mistake::BacksOffForLong) =>
        "nodes_converge_after_healing", "begun no read of its log";
    a_node_that_waits_for_a_lost_answer: Wrong::Node(Mistake::ReadsWithoutTimeout) =>
        "lost_read_is_given_up", "waits for a read of its log";
    a_caller_that_joins_a_load_begun_before_an_invalidation: Wrong::Node(Mistake::JoinsOlderLoad) =>
        "later_caller_joins_no_older_load", "before the invalidation that it came after";
        "history_of_bounded_reads", "cannot be";
    a_caller_that_joins_no_load: Wrong::Node(Mistake::EveryCallerLoads) =>
        "concurrent_callers_load_once", "a second load";
    tags_compared_only_at_insert: Wrong::Node(Mistake::TagsOnlyAtInsert) =>
        "later_caller_joins_no_older_load_by_tag", "before the invalidation that it came after";
    a_tag_that_clears_the_cache: Wrong::Node(Mistake::TagsWiden) =>
        "every_scope_delivers", "dropped a row without it";
    an_unknown_cache_taken_for_all: Wrong::Node(Mistake::UnknownMeansAll) =>
        "nonsense_stops_nothing", "made a node drop a row";
    a_node_that_stops_at_nonsense: Wrong::Node(Mistake::StopsAtNonsense) =>
        "nonsense_stops_nothing", "hears of nothing any more";
    an_unreadable_entry_skipped: Wrong::Node(Mistake::SkipsUndecodable) =>
        "unreadable_entry_widens", "was skipped";
    a_log_entry_skipped_whose_frame_was_only_claimed: Wrong::Node(Mistake::BelievesClaims) =>
        "early_claim_is_mended_by_the_log", "the log's entry was skipped";
    a_log_entry_skipped_whose_frame_was_forged: Wrong::Node(Mistake::BelievesStrangers) =>
        "forged_proof_is_mended_by_the_log", "the log's entry was skipped";
    an_entry_marked_before_it_is_applied: Wrong::Node(Mistake::MarksBeforeApplying) =>
        "marked_is_applied", "a strict read after the write returned";
    a_late_frame_taken_for_a_duplicate: Wrong::Node(Mistake::LateIsDuplicate) =>
        "doubled_and_reordered_frames_leave_nothing_stale", "still reads version";
    a_new_process_taken_for_the_old_one: Wrong::Node(Mistake::OneSequenceForAll) =>
        "replaced_process_hears_and_is_heard", "still reads version";
    a_subscription_that_is_never_made_again: Wrong::Node(Mistake::NeverSubscribesAgain) =>
        "killed_transport_is_heard_again", "is heard of on node 1 by the transport";
        "cut_transport_is_heard_again", "is heard of on node 1 by the transport";
    a_subscription_that_silence_ended: Wrong::Node(Mistake::NeverSubscribesAgain) =>
        "paused_transport_is_heard_again", "is heard of on node 1 by the transport";
        "silent_transport_is_heard_again", "is heard of on node 1 by the transport";
    an_own_write_that_waits_for_the_log: Wrong::Node(Mistake::OwnWritesWait) =>
        "own_write_is_seen_at_once", "the node's own write";
        "converging_history", "P6, its own write";
    a_refused_write_that_is_forgotten: Wrong::Node(Mistake::RefusedIsForgotten) =>
        "full_log_is_told_and_applied", "what it was told is old";
        "refused_append_is_told", "P6: a node serves what it was told is old";
        "read_only_log_is_told_and_applied", "what it was told is old";
    a_commit_that_the_node_is_not_told_of: Wrong::Node(Mistake::ForgetsTransactions) =>
        "committed_transaction_invalidates", "P6";
    an_entry_beside_its_transaction: Wrong::Node(Mistake::AppendsBesideTransactions) =>
        "rolled_back_transaction_changes_nothing", "did not commit left";
    a_forgotten_transaction_that_is_committed: Wrong::Node(Mistake::CommitsTheForgotten) =>
        "forgotten_transaction_leaves_nothing_stale", "must not have happened";
        "history_of_transactions", "which was rolled back";
    a_write_that_waits_until_it_is_published: Wrong::Node(Mistake::AwaitsPublish) =>
        "hanging_transport_slows_nobody", "a write waited until the node gave up";
        "broken_transport_holds_up_no_commit", "a commit waited until the node gave up";
    a_write_that_fails_with_its_transport: Wrong::Node(Mistake::FailsWithItsTransport) =>
        "refusing_transport_fails_no_write", "failed with its transport";
        "broken_transport_holds_up_no_commit", "the transaction ends";
    a_node_that_publishes_under_its_lock: Wrong::Node(Mistake::PublishesUnderLock) =>
        "hanging_transport_slows_nobody", "P16: writes and reads of a node whose transport hangs";
    a_node_that_reads_its_log_under_its_lock: Wrong::Node(Mistake::ReadsUnderLock) =>
        "hanging_log_read_slows_no_writer", "gave up a read of its log";
    a_node_that_publishes_all_at_once: Wrong::Node(Mistake::PublishesAllAtOnce) =>
        "overflow_widens", "frames under way on a transport that hangs";
    a_queue_without_a_bound: Wrong::Node(Mistake::WaitsWithoutBound) =>
        "overflow_widens", "were to widen to their cache";
    a_queue_that_drops_what_overflows: Wrong::Node(Mistake::DropsWhatOverflows) =>
        "overflow_widens", "each is told";
    a_frame_of_another_cluster_that_is_heard: Wrong::Node(Mistake::HearsOtherClusters) =>
        "another_cluster_changes_nothing", "made a node drop a row";
    a_proven_duplicate_applied_again: Wrong::Node(Mistake::AppliesAgain) =>
        "proven_duplicate_costs_no_second_miss", "dropped a row again";
    an_acknowledgement_before_its_time: Wrong::Node(Mistake::AcknowledgesBeforeApplying) =>
        "acknowledged_is_applied", "before it was applied";
    an_acknowledgement_that_never_comes: Wrong::Node(Mistake::AcknowledgesNothing) =>
        "acknowledged_is_applied", "told nobody";
    a_write_that_returns_before_the_log_has_it: Wrong::Node(Mistake::AppendsLater) =>
        "refused_append_is_told", "was told to be done";
    a_load_that_strands_who_joined_it: Wrong::Node(Mistake::StrandsWhoJoined) =>
        "dropped_leader_strands_nobody", "had not ended: P7: a read that had joined a load";
    a_failure_that_is_kept: Wrong::Node(Mistake::KeepsFailures) =>
        "failed_load_is_not_kept", "the failure was kept";
    a_flush_that_nobody_counts: Wrong::Node(Mistake::CountsNo("cache_invalidation_flushes_total")) =>
        "what_happens_is_counted", "P19: cache_invalidation_flushes_total";
    a_gap_that_nobody_counts: Wrong::Node(Mistake::CountsNo("cache_invalidation_gaps_total")) =>
        "what_happens_is_counted", "P19: cache_invalidation_gaps_total";
    a_widening_that_nobody_counts: Wrong::Node(Mistake::CountsNo("cache_invalidation_widened_total")) =>
        "what_happens_is_counted", "P19: cache_invalidation_widened_total";
    a_drop_that_nobody_counts: Wrong::Node(Mistake::CountsNo("cache_invalidation_dropped_total")) =>
        "what_happens_is_counted", "P19: cache_invalidation_dropped_total";
    a_lapse_that_nobody_counts: Wrong::Node(Mistake::CountsNo("cache_invalidation_lease_lapses_total")) =>
        "what_happens_is_counted", "P19: cache_invalidation_lease_lapses_total";
    a_cache_kept_across_a_restart: Wrong::Node(Mistake::KeepsAcrossRestarts) =>
        "restarted_node_is_cold_and_correct", "holds what it never loaded";
    an_ended_node_that_serves: Wrong::Node(Mistake::ServesAfterShutdown) =>
        "ended_node_serves_nothing", "still serves";
    an_expired_cursor_without_a_flush: Wrong::Log(Lie::ExpiredIsEmpty) =>
        "purge_past_a_paused_node_flushes", "did not flush";
        "restored_log_flushes", "still reads version 0";
        "recreated_log_flushes", "still reads version 0";
    a_cold_node_that_takes_its_cursor_late: Wrong::Log(Lie::CursorTakenLate) =>
        "cursor_is_taken_before_the_first_entry", "was missed";
    a_clock_that_stops_while_the_process_is_paused: Wrong::Clock =>
        "clock_that_leaps_over_a_pause_ends_the_lease", "the time of the pause did not count";
    a_log_that_loses_the_last_in_a_crash: Wrong::Server(LogMistake::LosesTheLastInACrash) =>
        "killed_log_hides_nothing", "still reads version 0";
    a_log_that_fails_over_silently: Wrong::Server(LogMistake::FailsOverSilently) =>
        "failed_over_log_hides_nothing", "missed what the log had acknowledged";
    a_log_whose_silence_is_an_answer: Wrong::Server(LogMistake::NothingNewWhileDown) =>
        "paused_log_hides_nothing", "missed what the log had acknowledged";
        "silent_link_to_the_log_hides_nothing", "missed what the log had acknowledged";
}

/// Each case is there to catch something: none passes whatever the node does.
#[test]
fn each_case_catches_a_mistake() {
    let caught: BTreeSet<&str> = CATCHING.iter().copied().collect();
    let suite = Wrong::Node(Mistake::None).suite();
    let cases = suite.names().filter_map(|name| name.rsplit("::").next());
    let idle: Vec<_> = cases.filter(|case| !caught.contains(case)).collect();
    assert!(idle.is_empty(), "cases that catch nothing: {idle:?}");
}

/// The honest small node keeps the whole contract: what its mistakes fail in is not what it lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_honest_small_node_passes_every_case() {
    passes_every_case(Wrong::Node(Mistake::None)).await;
}

/// Our own node does, on the log and the transport that can be broken in every way: it is the lies that it fails for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_node_passes_every_case() {
    passes_every_case(Wrong::Log(Lie::None)).await;
}

async fn passes_every_case(honest: Wrong) {
    let suite = honest.suite();
    let check = async |case: &str| (case.to_owned(), suite.check(case).await);
    let cases: Vec<_> = suite.names().map(check).collect();
    let mut verdicts = stream::iter(cases).buffer_unordered(4);
    while let Some((case, verdict)) = verdicts.next().await {
        assert_eq!(verdict, Verdict::Passed, "{case}");
    }
}
