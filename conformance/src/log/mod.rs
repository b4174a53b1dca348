//! The contract of a log.

mod appending;
mod claims;
mod entries;
mod faults;
mod forgetting;
mod grouping;
mod harness;
mod heads;
mod living;
mod mixed;
mod paging;
mod purging;
mod reader;
mod reading;
mod restoring;
mod secrets;
mod slow;
mod stage;
mod transactions;

use std::sync::Arc;

pub use harness::{BusinessTransaction, LogHarness, LogSpace};

use crate::{
    Suite,
    case::{Case, cases},
};

/// The cases of the log interface on this backend.
pub fn log_suite(harness: impl LogHarness) -> Suite {
    let name = harness.name();
    Suite::of(name, "log", CASES, Arc::new(harness) as Arc<dyn LogHarness>)
}

const CASES: &[Case<dyn LogHarness>] = cases![dyn LogHarness;
    "P1" appending::append_then_read,
    "contract: append is atomic and ordered" appending::one_append_keeps_its_order,
    "P1" appending::concurrent_appenders,
    "P1" appending::appends_under_load_are_all_kept,
    "P1, P8" appending::an_entry_appended_again_is_read_again,
    "contract: appends of concurrent callers share statements" grouping::appends_under_load_are_grouped,
    "contract: an append fails for its own caller alone" grouping::a_refused_append_fails_alone,
    "P1" appending::odd_entries_come_back_unchanged,
    "contract: one position for each entry" appending::an_empty_append_changes_nothing,
    "contract: append is atomic" appending::a_huge_append_is_whole_or_refused,
    "P10" appending::identity_is_that_of_positions,
    "P1" reading::each_entry_once_per_cursor,
    "P9" reading::a_cursor_is_a_value,
    "contract: a cursor is a value" reading::cursors_of_one_handle_are_apart,
    "P10" reading::an_unreadable_cursor_expires,
    "contract: a long poll" reading::a_waiting_read_ends_with_an_entry,
    "P16" reading::a_waiting_read_holds_nobody_up,
    "P1" paging::pages_hold_everything,
    "P1, P4" paging::pages_stop_at_max_bytes,
    "P4" paging::complete_only_when_nothing_is_left,
    "P4" paging::as_of_is_never_later_than_the_start,
    "P4" paging::a_series_claims_no_more_than_it_holds,
    "P3, P4" paging::a_complete_read_holds_all_before_its_start,
    "P1" paging::paging_beside_writers,
    "P2" transactions::an_entry_shares_the_fate_of_its_transaction,
    "P2, P3" transactions::row_and_entry_become_visible_together,
    "P1" transactions::commit_order_unlike_id_order,
    "P1, P4" transactions::a_transaction_open_across_many_polls,
    "P3, P16" transactions::an_open_transaction_holds_nobody_up,
    "P2" transactions::savepoints_and_rollbacks,
    "P1" transactions::holes_are_no_gaps,
    "P14" transactions::head_beside_an_open_transaction,
    "P10, P14" transactions::a_gap_beside_an_open_transaction,
    "P2" transactions::a_joined_entry_keeps_its_position,
    "P2" transactions::the_statement_appends_for_any_driver,
    "P1, P2" mixed::exactly_once_beside_transactions,
    "P14" heads::head_is_where_it_was_asked_for,
    "P14" heads::a_cold_start_beside_writers,
    "P1" heads::covers_only_what_was_passed,
    "P1" heads::covers_nothing_that_is_open,
    "P10" heads::a_new_log_covers_no_old_position,
    "P13" purging::a_purge_past_a_reader_is_told,
    "P13" purging::a_purge_between_two_pages_is_told,
    "P13" purging::a_trim_past_a_reader_is_told,
    "P13" purging::a_trim_between_two_pages_is_told,
    "P13" purging::a_purge_keeps_the_newest,
    "P13" purging::a_purge_keeps_what_is_younger,
    "contract: a purge takes what is older than the retention" purging::a_purge_takes_what_is_older,
    "P13" purging::a_purge_beside_a_read_is_told,
    "P13, P16" purging::readers_beside_purges,
    "P13" purging::readers_beside_trims,
    "P1, P13" forgetting::a_purge_of_what_was_committed_late_is_told,
    "P13" forgetting::a_restart_forgets_no_purge,
    "P10" purging::a_total_purge_is_told,
    "P13" purging::a_total_trim_is_told,
    "P1, P10" purging::entries_deleted_by_hand_are_told,
    "P10" restoring::a_restored_state_is_told,
    "P10" restoring::ids_used_again_are_told,
    "P1, P10" restoring::a_restore_skips_nothing,
    "P10" restoring::a_restore_covers_nothing_that_was_lost,
    "P10" restoring::a_recreated_log_is_told,
    "P10" restoring::a_failover_keeps_or_tells,
    "P2" faults::a_read_only_log_says_so,
    "P2" faults::a_full_log_says_so,
    "P1, P10" faults::a_restart_keeps_or_tells,
    "P1, P10" faults::a_crash_keeps_or_tells,
    "P1, P4" faults::a_cut_link_heals,
    "P1, P4" faults::a_paused_server_goes_on,
    "P1, P4" faults::a_black_hole_heals,
    "P1, P4" slow::a_slow_link_keeps_the_order,
    "contract: every method is cancel-safe" slow::an_answer_that_comes_late_is_nobody_elses,
    "contract: a refusal says what is missing" faults::a_node_without_rights_is_told,
    "P12" faults::unknown_rows_are_told,
    "contract: install is safe when many start" living::nodes_install_at_once,
    "contract: install is idempotent" living::install_is_idempotent,
    "contract: every method is cancel-safe" living::dropped_calls_leave_the_log_usable,
    "contract: every method is cancel-safe" living::a_dropped_append_is_whole_or_nothing,
    "P13" living::a_dropped_purge_hides_nothing,
    "P2, P16" living::a_dropped_join_leaves_nothing,
    "contract: close is idempotent" living::close_is_idempotent,
    "P1" living::close_beside_calls,
    "contract: no credential is shown" secrets::no_secret_is_shown,
    "contract: no credential is logged" secrets::no_secret_is_logged,
    "contract: capabilities are honest" claims::claims_fit,
    "P1" claims::a_crash_keeps_what_was_acknowledged,
    "P1" claims::a_failover_keeps_what_was_acknowledged,
];
