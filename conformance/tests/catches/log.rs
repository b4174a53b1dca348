//! Wrong logs, each caught by the case named for it.

pub(crate) mod toy_log;

use std::collections::BTreeSet;

use invalidation_conformance::{Verdict, log_suite};
use toy_log::{Mistake, ToyLogs};

/// Each mistake, and the cases that catch it.
const CAUGHT: &[(Mistake, &[&str])] = &[
    (Mistake::IdCursor, &["commit_order_unlike_id_order"]),
    (
        Mistake::HorizonIdCursor,
        &[
            "commit_order_unlike_id_order",
            "an_open_transaction_holds_nobody_up",
        ],
    ),
    (
        Mistake::DirtyReads,
        &[
            "an_entry_shares_the_fate_of_its_transaction",
            "a_transaction_open_across_many_polls",
        ],
    ),
    (
        Mistake::AppendsBesideTransaction,
        &[
            "an_entry_shares_the_fate_of_its_transaction",
            "row_and_entry_become_visible_together",
            "holes_are_no_gaps",
            "a_dropped_join_leaves_nothing",
        ],
    ),
    (
        Mistake::IgnoresSavepoints,
        &[
            "savepoints_and_rollbacks",
            "exactly_once_beside_transactions",
        ],
    ),
    (
        Mistake::StatementOutsideTransaction,
        &["the_statement_appends_for_any_driver"],
    ),
    (
        Mistake::ReadsAReplica,
        &[
            "append_then_read",
            "a_complete_read_holds_all_before_its_start",
            "row_and_entry_become_visible_together",
            "a_restore_skips_nothing",
        ],
    ),
    (
        Mistake::AlwaysComplete,
        &["complete_only_when_nothing_is_left"],
    ),
    (
        Mistake::Truncates,
        &["pages_hold_everything", "paging_beside_writers"],
    ),
    (Mistake::IgnoresMaxBytes, &["pages_stop_at_max_bytes"]),
    (
        Mistake::AsOfTheEnd,
        &["as_of_is_never_later_than_the_start"],
    ),
    (Mistake::Duplicates, &["each_entry_once_per_cursor"]),
    (
        Mistake::Reorders,
        &[
            "one_append_keeps_its_order",
            "concurrent_appenders",
            "each_entry_once_per_cursor",
        ],
    ),
    (Mistake::ConsumesWhatIsRead, &["a_cursor_is_a_value"]),
    (
        Mistake::WaitsWithAnError,
        &["a_waiting_read_ends_with_an_entry"],
    ),
    (Mistake::SkipsUnknownRows, &["unknown_rows_are_told"]),
    (Mistake::TrimsTexts, &["odd_entries_come_back_unchanged"]),
    (
        Mistake::RefusesUnreadableCursors,
        &["an_unreadable_cursor_expires"],
    ),
    (
        Mistake::LateHead,
        &[
            "head_is_where_it_was_asked_for",
            "a_cold_start_beside_writers",
        ],
    ),
    (
        Mistake::HeadPastOpenTransactions,
        &["head_beside_an_open_transaction"],
    ),
    (Mistake::ForgetsTheFloor, &["a_purge_past_a_reader_is_told"]),
    (
        Mistake::ChecksTheFirstPageAlone,
        &["a_purge_between_two_pages_is_told", "readers_beside_purges"],
    ),
    (
        Mistake::PurgesInTwoSteps,
        &["a_dropped_purge_hides_nothing"],
    ),
    (Mistake::PurgesTheNewest, &["a_purge_keeps_the_newest"]),
    (Mistake::PurgesTheYoung, &["a_purge_keeps_what_is_younger"]),
    (Mistake::IdentityUnchecked, &["a_recreated_log_is_told"]),
    (
        Mistake::WitnessUnchecked,
        &[
            "a_restored_state_is_told",
            "ids_used_again_are_told",
            "a_total_purge_is_told",
        ],
    ),
    (Mistake::FailsOverSilently, &["a_failover_keeps_or_tells"]),
    (Mistake::LosesTheLastInACrash, &["a_crash_keeps_or_tells"]),
    (
        Mistake::NothingNewWhileDown,
        &[
            "a_restart_keeps_or_tells",
            "a_crash_keeps_or_tells",
            "a_cut_link_heals",
            "a_paused_server_goes_on",
            "a_black_hole_heals",
        ],
    ),
    (
        Mistake::SwallowsAppendErrors,
        &["a_read_only_log_says_so", "a_full_log_says_so"],
    ),
    (
        Mistake::AppendsByHalves,
        &["a_read_only_log_says_so", "a_full_log_says_so"],
    ),
    (
        Mistake::CutsLargeAppends,
        &["a_huge_append_is_whole_or_refused"],
    ),
    (
        Mistake::PositionForNothing,
        &["an_empty_append_changes_nothing"],
    ),
    (
        Mistake::AppendsOneByOne,
        &["a_dropped_append_is_whole_or_nothing"],
    ),
    (
        Mistake::LeavesLocksBehind,
        &["dropped_calls_leave_the_log_usable"],
    ),
    (
        Mistake::CoversEverything,
        &[
            "covers_only_what_was_passed",
            "a_new_log_covers_no_old_position",
        ],
    ),
    (
        Mistake::PositionsDiffer,
        &[
            "identity_is_that_of_positions",
            "appends_under_load_are_all_kept",
            "a_joined_entry_keeps_its_position",
        ],
    ),
    (
        Mistake::InstallBeginsAnew,
        &["install_is_idempotent", "nodes_install_at_once"],
    ),
    (
        Mistake::DeniedIsUnavailable,
        &["a_node_without_rights_is_told"],
    ),
    (Mistake::ClosesAll, &["close_is_idempotent"]),
    (Mistake::AppendsAfterClose, &["close_is_idempotent"]),
    (Mistake::AcknowledgesAfterClose, &["close_beside_calls"]),
    (Mistake::ClaimsTooLittle, &["claims_fit"]),
    (Mistake::ShowsTheSecret, &["no_secret_is_shown"]),
];

/// The honest log passes every case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_honest_log_passes() {
    let suite = log_suite(ToyLogs(None));
    for name in suite.names() {
        match suite.check(name).await {
            Verdict::Passed => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Each wrong log fails in the cases named for its mistake. With `--nocapture` it shows what they say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_log_is_caught() {
    let mut missed = Vec::new();
    for &(mistake, cases) in CAUGHT {
        let suite = log_suite(ToyLogs(Some(mistake)));
        for case in cases {
            match suite.check(case).await {
                Verdict::Failed(text) => eprintln!("{mistake:?}: {text}\n"),
                other => missed.push(format!("{mistake:?} in {case}: {other:?}")),
            }
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

/// Each case is there to catch something: none passes whatever the log does.
#[test]
fn each_case_catches_a_mistake() {
    let caught: BTreeSet<&str> = CAUGHT
        .iter()
        .flat_map(|(_, cases)| *cases)
        .copied()
        .collect();
    let suite = log_suite(ToyLogs(None));
    let cases = suite.names().filter_map(|name| name.rsplit("::").next());
    let idle: Vec<_> = cases.filter(|case| !caught.contains(case)).collect();
    assert!(idle.is_empty(), "cases that catch nothing: {idle:?}");
}
