//! What a node promises above a log and a transport, with a history checker.
//!
//! The suite breaks the log and the transport of each node by itself, between the node and what the harness gives:
//! so most cases run on every backend. Those that need its transactions, change what it stored, or take its servers and
//! links away are ignored where the harness cannot.

mod clock;
mod counting;
mod delivery;
mod gaps;
mod gate;
mod harness;
mod history;
mod isolation;
mod lease;
mod loads;
mod machine;
mod outages;
mod pace;
mod pauses;
mod place;
mod real;
mod recovery;
mod rows;
mod scopes;
mod stage;
mod starting;
mod timing;
mod transactions;
mod under_test;
mod wire;

use std::sync::Arc;

pub use harness::{NodeHarness, NodeSpace, Pair};
pub use under_test::{CLUSTER, Ending, Freshness, Loader, NodeUnderTest, Row, Setup};

use crate::{
    Suite,
    case::{Case, cases},
};

/// The cases of the node on this log and transport.
pub fn node_suite(harness: impl NodeHarness) -> Suite {
    let name = harness.name();
    Suite::of(
        &name,
        "node",
        CASES,
        Arc::new(harness) as Arc<dyn NodeHarness>,
    )
}

const CASES: &[Case<dyn NodeHarness>] = cases![dyn NodeHarness;
    "P6" delivery::own_write_is_seen_at_once,
    "P1, P15" delivery::fan_out_alone_delivers,
    "P1, P15" delivery::log_alone_delivers,
    "P1" delivery::writer_that_never_publishes_is_heard,
    "P1" delivery::every_scope_delivers,
    "P8" delivery::doubled_and_reordered_frames_leave_nothing_stale,
    "P8" delivery::early_claim_is_mended_by_the_log,
    "P8, P18" delivery::forged_proof_is_mended_by_the_log,
    "P12" delivery::nonsense_stops_nothing,
    "P8, P9" delivery::marked_is_applied,
    "P8" delivery::proven_duplicate_costs_no_second_miss,
    "P9" delivery::acknowledged_is_applied,
    "P18" delivery::another_cluster_changes_nothing,
    "P1, P6" delivery::refused_append_is_told,
    "P3, P20" lease::unreadable_log_is_bypassed,
    "P3" lease::strict_read_sees_every_commit,
    "P3" lease::strict_read_shares_no_read_already_begun,
    "P4" lease::lease_counts_from_the_start_of_the_read,
    "P4" lease::partial_read_renews_nothing,
    "P4" lease::incomplete_reads_let_the_lease_lapse,
    "the TTL is a hard bound" lease::access_extends_no_ttl,
    "P5" loads::overtaken_load_is_not_kept,
    "P5" loads::overtaken_load_is_not_kept_by_tag,
    "P5" loads::overtaken_load_is_not_kept_by_clear,
    "P5, P14" loads::overtaken_load_is_not_kept_by_flush,
    "P1, P5" loads::load_overtaken_by_the_log_is_not_kept,
    "P7" loads::later_caller_joins_no_older_load,
    "P7" loads::later_caller_joins_no_older_load_by_tag,
    "P7" loads::concurrent_callers_load_once,
    "P7" loads::dropped_leader_strands_nobody,
    "P7" loads::failed_load_is_not_kept,
    "P10, P13" gaps::purge_past_a_paused_node_flushes,
    "P5, P10" gaps::flush_fences_loads,
    "P10" gaps::restored_log_flushes,
    "P10" gaps::recreated_log_flushes,
    "P12" gaps::unreadable_entry_widens,
    "P2, P6" transactions::committed_transaction_invalidates,
    "P2" transactions::rolled_back_transaction_changes_nothing,
    "P2" transactions::forgotten_transaction_leaves_nothing_stale,
    "P14" starting::restarted_node_is_cold_and_correct,
    "P14" starting::cursor_is_taken_before_the_first_entry,
    "P3" starting::ended_node_serves_nothing,
    "P3" pauses::clock_that_leaps_over_a_pause_ends_the_lease,
    "P1, P20" pauses::clock_that_stands_over_a_pause_converges,
    "P20" pauses::nodes_converge_after_healing,
    "P20" pauses::lost_read_is_given_up,
    "P16" isolation::hanging_transport_slows_nobody,
    "P16" isolation::refusing_transport_fails_no_write,
    "P16" isolation::broken_transport_holds_up_no_commit,
    "P16" isolation::hanging_log_read_slows_no_writer,
    "P11" isolation::overflow_widens,
    "P19" counting::what_happens_is_counted,
    "P1, P10" outages::killed_log_hides_nothing,
    "P1, P10" outages::stopped_log_hides_nothing,
    "P1, P4" outages::paused_log_hides_nothing,
    "P1, P20" outages::cut_link_to_the_log_hides_nothing,
    "P1, P4" outages::silent_link_to_the_log_hides_nothing,
    "P1, P10" outages::failed_over_log_hides_nothing,
    "P1, P6" outages::full_log_is_told_and_applied,
    "P1, P6" outages::read_only_log_is_told_and_applied,
    "P10, P15" outages::killed_transport_is_heard_again,
    "P10, P15" outages::paused_transport_is_heard_again,
    "P10, P15" outages::cut_transport_is_heard_again,
    "P10, P15" outages::silent_transport_is_heard_again,
    "P14, P15" outages::replaced_process_hears_and_is_heard,
    "P3, P6, the TTL" history::history_of_bounded_reads,
    "P3, P5, P7, P20" history::history_of_strict_reads,
    "P1, P6, P20" history::converging_history,
    "P2, P3, P20" history::history_of_transactions,
    "P1, P3, P20" history::history_across_log_outages,
    "P3, P15, P20" history::history_across_transport_outages,
];
