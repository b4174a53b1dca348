//! Each mistake, the cases that catch it, and some of what they say: what was missing, too much or otherwise.

use super::Mistake;

pub(crate) const CAUGHT: &[(Mistake, &[(&str, &str)])] = &[
    (
        Mistake::IdCursor,
        &[("commit_order_unlike_id_order", "missing: users/keys/t/1")],
    ),
    (
        Mistake::HorizonIdCursor,
        &[
            ("commit_order_unlike_id_order", "missing: users/keys/t/"),
            (
                "an_open_transaction_holds_nobody_up",
                "missing: users/keys/quick",
            ),
        ],
    ),
    (
        Mistake::DirtyReads,
        &[
            (
                "an_entry_shares_the_fate_of_its_transaction",
                "extra: users/keys/0",
            ),
            (
                "a_transaction_open_across_many_polls",
                "extra: users/keys/late",
            ),
        ],
    ),
    (
        Mistake::AppendsBesideTransaction,
        &[
            (
                "an_entry_shares_the_fate_of_its_transaction",
                "extra: users/keys/0",
            ),
            (
                "row_and_entry_become_visible_together",
                "found that it is not",
            ),
            ("holes_are_no_gaps", "extra: users/keys/undone/0"),
            (
                "a_dropped_join_leaves_nothing",
                "extra: users/keys/dropped/0",
            ),
        ],
    ),
    (
        Mistake::IgnoresSavepoints,
        &[
            ("savepoints_and_rollbacks", "extra: users/keys/0/undone"),
            ("exactly_once_beside_transactions", "/undone"),
        ],
    ),
    (
        Mistake::StatementOutsideTransaction,
        &[(
            "the_statement_appends_for_any_driver",
            "expected 0 entries exactly once, and 2 came",
        )],
    ),
    (
        Mistake::ReadsAReplica,
        &[
            ("append_then_read", "missing: users/keys/1, users/keys/2"),
            (
                "a_complete_read_holds_all_before_its_start",
                "missing: users/keys/",
            ),
            (
                "row_and_entry_become_visible_together",
                "P3: expected the entry of row",
            ),
            ("a_restore_skips_nothing", "missing: users/keys/new/0"),
        ],
    ),
    (
        Mistake::AlwaysComplete,
        &[(
            "complete_only_when_nothing_is_left",
            "leaves 3 entries behind",
        )],
    ),
    (
        Mistake::Truncates,
        &[
            ("pages_hold_everything", "missing: users/keys/a/1"),
            ("paging_beside_writers", "missing: users/keys/"),
        ],
    ),
    (
        Mistake::IgnoresMaxBytes,
        &[(
            "pages_stop_at_max_bytes",
            "to hold 1 to 1 entries of 2000, and found 12",
        )],
    ),
    (
        Mistake::AsOfTheEnd,
        &[(
            "as_of_is_never_later_than_the_start",
            "never later, and found ReadStart { tick: Tick(1010)",
        )],
    ),
    (
        Mistake::Duplicates,
        &[("each_entry_once_per_cursor", "more than once: users/keys/")],
    ),
    (
        Mistake::Reorders,
        &[
            ("one_append_keeps_its_order", "came: users/keys/a/299"),
            ("concurrent_appenders", "out of order from number"),
            ("each_entry_once_per_cursor", "out of order from number"),
        ],
    ),
    (
        Mistake::ConsumesWhatIsRead,
        &[("a_cursor_is_a_value", "the cursor expired (purged)")],
    ),
    (
        Mistake::WaitsWithAnError,
        &[(
            "a_waiting_read_ends_with_an_entry",
            "expected a read to succeed, and it failed: toy read: nothing came",
        )],
    ),
    (
        Mistake::SkipsUnknownRows,
        &[(
            "unknown_rows_are_told",
            "found [\"known\", \"known\", \"known\"]",
        )],
    ),
    (
        Mistake::TrimsTexts,
        &[("odd_entries_come_back_unchanged", "(changed)")],
    ),
    (
        Mistake::RefusesUnreadableCursors,
        &[(
            "an_unreadable_cursor_expires",
            "expected a read to succeed, and it failed: toy read: not a cursor",
        )],
    ),
    (
        Mistake::LateHead,
        &[
            (
                "head_is_where_it_was_asked_for",
                "missing: users/keys/first/0",
            ),
            ("a_cold_start_beside_writers", "missing: users/keys/a/"),
        ],
    ),
    (
        Mistake::HeadPastOpenTransactions,
        &[(
            "head_beside_an_open_transaction",
            "missing: users/keys/late/0",
        )],
    ),
    (
        Mistake::ExpiresPastOpenTransactions,
        &[(
            "a_gap_beside_an_open_transaction",
            "missing: users/keys/late/0, users/keys/late/1",
        )],
    ),
    (
        Mistake::ForgetsTheFloor,
        &[(
            "a_purge_past_a_reader_is_told",
            "expected the cursor to expire, and found that the log read on",
        )],
    ),
    (
        Mistake::ChecksTheFirstPageAlone,
        &[
            (
                "a_purge_between_two_pages_is_told",
                "expected the cursor to expire, and found that the log read on",
            ),
            ("readers_beside_purges", "missing: users/keys/a/"),
            (
                "a_trim_between_two_pages_is_told",
                "expected the cursor to expire, and found that the log read on",
            ),
            ("readers_beside_trims", "missing: users/keys/a/"),
        ],
    ),
    (
        Mistake::ChecksBeforeItReads,
        &[(
            "a_purge_beside_a_read_is_told",
            "the cursor expires, or nothing is missing: expected 4 entries exactly once, and 1 came",
        )],
    ),
    (
        Mistake::ChecksBeforeItWaits,
        &[(
            "a_purge_beside_a_read_is_told",
            "beside a read that waited: the cursor expires, or nothing is missing: expected 4 entries exactly once, and \
             1 came",
        )],
    ),
    (
        Mistake::PurgesInTwoSteps,
        &[("a_dropped_purge_hides_nothing", "missing: users/keys/1/0")],
    ),
    (
        Mistake::PurgesTheNewest,
        &[("a_purge_keeps_the_newest", "expected 4, and found 5")],
    ),
    (
        Mistake::PurgesTheYoung,
        &[("a_purge_keeps_what_is_younger", "expected 0, and found 4")],
    ),
    (
        Mistake::PurgesTheYoungWithTheOld,
        &[(
            "a_purge_keeps_what_is_younger",
            "stay when older ones are purged with a retention of 2s: expected 5 entries exactly once, and 0 came",
        )],
    ),
    (
        Mistake::TakesSecondsForMilliseconds,
        &[(
            "a_purge_keeps_what_is_younger",
            "stay when older ones are purged with a retention of 2s: expected 5 entries exactly once, and 0 came",
        )],
    ),
    (
        Mistake::IdentityUnchecked,
        &[(
            "a_recreated_log_is_told",
            "replaced by a new one with 0 entries",
        )],
    ),
    (
        Mistake::WitnessUnchecked,
        &[
            ("a_restored_state_is_told", "an older state was restored"),
            ("ids_used_again_are_told", "2 appended in their place"),
            ("a_total_purge_is_told", "were deleted"),
            ("a_total_trim_is_told", "were deleted"),
            (
                "a_trim_past_a_reader_is_told",
                "went by a trim of the server's own: expected the cursor to expire",
            ),
        ],
    ),
    (
        Mistake::FailsOverSilently,
        &[("a_failover_keeps_or_tells", "missing: users/keys/before/4")],
    ),
    (
        Mistake::LosesTheLastInACrash,
        &[("a_crash_keeps_or_tells", "missing: users/keys/before/4")],
    ),
    (
        Mistake::NothingNewWhileDown,
        &[
            (
                "a_restart_keeps_or_tells",
                "expected read to fail during Stop, and it succeeded",
            ),
            (
                "a_crash_keeps_or_tells",
                "expected read to fail during Kill, and it succeeded",
            ),
            (
                "a_cut_link_heals",
                "expected read to fail during Cut, and it succeeded",
            ),
            (
                "a_paused_server_goes_on",
                "expected no answer to a read during Pause",
            ),
            (
                "a_black_hole_heals",
                "expected no answer to a read during BlackHole",
            ),
        ],
    ),
    (
        Mistake::SwallowsAppendErrors,
        &[
            (
                "a_read_only_log_says_so",
                "(ReadOnly) to refuse one of 20 appends",
            ),
            ("a_full_log_says_so", "(Fill) to refuse one of 20 appends"),
        ],
    ),
    (
        Mistake::AppendsByHalves,
        &[
            ("a_read_only_log_says_so", "extra: users/keys/0/small"),
            ("a_full_log_says_so", "extra: users/keys/0/small"),
        ],
    ),
    (
        Mistake::CutsLargeAppends,
        &[(
            "a_huge_append_is_whole_or_refused",
            "expected 0 entries exactly once, and 1000 came",
        )],
    ),
    (
        Mistake::PositionForNothing,
        &[("an_empty_append_changes_nothing", "expected 0, and found 1")],
    ),
    (
        Mistake::AppendsOneByOne,
        &[(
            "a_dropped_append_is_whole_or_nothing",
            "or none, and found 1",
        )],
    ),
    (
        Mistake::LeavesLocksBehind,
        &[
            (
                "dropped_calls_leave_the_log_usable",
                "another call holds the lock",
            ),
            (
                "an_answer_that_comes_late_is_nobody_elses",
                "another call holds the lock",
            ),
        ],
    ),
    (
        Mistake::CoversEverything,
        &[
            (
                "covers_only_what_was_passed",
                "has passed 0 entries not to cover entry 0",
            ),
            (
                "a_new_log_covers_no_old_position",
                "of the log that stood there before",
            ),
        ],
    ),
    (
        Mistake::PositionsDiffer,
        &[
            ("identity_is_that_of_positions", "expected Position"),
            (
                "appends_under_load_are_all_kept",
                "at the position that its append gave",
            ),
            ("a_joined_entry_keeps_its_position", "expected [Position"),
        ],
    ),
    (
        Mistake::InstallBeginsAnew,
        &[
            ("install_is_idempotent", "expected LogIdentity"),
            ("nodes_install_at_once", "nothing was lost"),
        ],
    ),
    (
        Mistake::InstallsOnce,
        &[
            ("nodes_install_at_once", "already exists"),
            ("install_is_idempotent", "already exists"),
        ],
    ),
    (
        Mistake::DeniedIsUnavailable,
        &[(
            "a_node_without_rights_is_told",
            "and found Error { kind: Unavailable",
        )],
    ),
    (
        Mistake::ClosesAll,
        &[(
            "close_is_idempotent",
            "expected an append to succeed, and it failed",
        )],
    ),
    (
        Mistake::AppendsAfterClose,
        &[(
            "close_is_idempotent",
            "expected Some(Closed), and found None",
        )],
    ),
    (
        Mistake::AcknowledgesAfterClose,
        &[("close_beside_calls", "missing: users/keys/a/")],
    ),
    (
        Mistake::ClaimsTooLittle,
        &[(
            "claims_fit",
            "to claim `transactional`, and found that it does not",
        )],
    ),
    (
        Mistake::ShowsTheSecret,
        &[("no_secret_is_shown", "ToyLog(toy://user:<the secret>@here)")],
    ),
    (
        Mistake::ErrorCarriesTheSecret,
        &[("no_secret_is_shown", "<the secret>@here does not answer")],
    ),
    (
        Mistake::RefusalRepeatsTheSecret,
        &[("no_secret_is_shown", "<the secret>@here lets nobody in")],
    ),
    (
        Mistake::LogsTheSecret,
        &[(
            "no_secret_is_logged",
            "message=connected url=toy://user:<the secret>@here",
        )],
    ),
    (
        Mistake::BelievesWhatIsThere,
        &[
            (
                "entries_deleted_by_hand_are_told",
                "expected the cursor to expire, since an entry that it had not passed was deleted",
            ),
            (
                "a_total_purge_is_told",
                "expected the cursor to expire, and found that the log read on",
            ),
        ],
    ),
    (
        Mistake::ExpiresAfterSilence,
        &[
            (
                "a_cut_link_heals",
                "found that the cursor expired (identity_changed)",
            ),
            (
                "a_paused_server_goes_on",
                "the cursor expired (identity_changed)",
            ),
            (
                "a_black_hole_heals",
                "the cursor expired (identity_changed)",
            ),
        ],
    ),
    (
        Mistake::GroupsForgetEntries,
        &[("appends_under_load_are_all_kept", "missing: users/keys/")],
    ),
    (
        Mistake::EmptyWithoutRights,
        &[("a_node_without_rights_is_told", "missing: users/keys/more")],
    ),
    (
        Mistake::CoversById,
        &[(
            "covers_nothing_that_is_open",
            "of a transaction that is still open, and found that it does",
        )],
    ),
    (
        Mistake::PurgesOnlyEverything,
        &[("a_purge_takes_what_is_older", "came to nothing")],
    ),
    (
        Mistake::LosesAndTellsInACrash,
        &[(
            "a_crash_keeps_what_was_acknowledged",
            "and found 1 lost: users/keys/",
        )],
    ),
    (
        Mistake::LosesAndTellsInAFailover,
        &[(
            "a_failover_keeps_what_was_acknowledged",
            "and found 1 lost: users/keys/before/9",
        )],
    ),
    (
        Mistake::AppendsEachAlone,
        &[("appends_under_load_are_grouped", "and found 200")],
    ),
    (
        Mistake::GroupFailsTogether,
        &[(
            "a_refused_append_fails_alone",
            "to succeed beside one of 65 MiB, and it failed: TooLarge",
        )],
    ),
    (
        Mistake::GroupsMixPositions,
        &[(
            "appends_under_load_are_all_kept",
            "at the position that its append gave",
        )],
    ),
    (
        Mistake::DropsKnownNonces,
        &[(
            "an_entry_appended_again_is_read_again",
            "missing: users/keys/again",
        )],
    ),
    (
        Mistake::SkipsHugeEntries,
        &[(
            "a_refused_append_fails_alone",
            "and found 0 entries beside 60 small ones",
        )],
    ),
    (
        Mistake::WrapsItsLimit,
        &[("pages_hold_everything", "missing: users/keys/a/0")],
    ),
    (
        Mistake::ClaimsEachPageOfASeries,
        &[(
            "a_series_claims_no_more_than_it_holds",
            "missing: users/keys/1/between/0",
        )],
    ),
    (
        Mistake::SeriesInTheHandle,
        &[("cursors_of_one_handle_are_apart", "missing: users/keys/a/")],
    ),
    (
        Mistake::WaitsWithTheLock,
        &[(
            "a_waiting_read_holds_nobody_up",
            "head beside a read that waits",
        )],
    ),
    (
        Mistake::HandsOutEarlierAnswers,
        &[(
            "an_answer_that_comes_late_is_nobody_elses",
            "missing: users/keys/",
        )],
    ),
    (
        Mistake::SlowMeansNothingNew,
        &[(
            "a_slow_link_keeps_the_order",
            "expected no answer within half of a link's delay",
        )],
    ),
    (
        Mistake::FloorById,
        &[(
            "a_purge_of_what_was_committed_late_is_told",
            "expected the cursor to expire, and found that the log read on",
        )],
    ),
    (
        Mistake::InstallResetsTheFloor,
        &[(
            "a_purge_past_a_reader_is_told",
            "expected the cursor to expire, and found that the log read on",
        )],
    ),
    (
        Mistake::FloorInMemory,
        &[(
            "a_restart_forgets_no_purge",
            "expected the cursor to expire, and found that the log read on",
        )],
    ),
    (
        Mistake::WitnessByPlace,
        &[("ids_used_again_are_told", "3 appended in their place")],
    ),
    (
        Mistake::PositionsAreIds,
        &[(
            "a_restore_covers_nothing_that_was_lost",
            "not to cover entry lost/0, which it never passed, and found that it does",
        )],
    ),
    (
        Mistake::BlamesAnotherCache,
        &[(
            "unknown_rows_are_told",
            "expected \"users\", and found \"sessions\"",
        )],
    ),
    (
        Mistake::CannotMend,
        &[
            ("a_cut_link_heals", "expected Heal of the harness"),
            (
                "a_restart_keeps_or_tells",
                "expected Restart of the harness",
            ),
        ],
    ),
];
