//! Which case catches which mistake, and what it says.

use super::mistake::Mistake;

/// A mistake, the case that catches it, and parts of what that says: what was expected, and what is missing or too
/// much.
pub(super) type Caught = (Mistake, &'static str, &'static [&'static str]);

pub(super) const CAUGHT: &[Caught] = &[
    // Who receives.
    (
        Mistake::SharesOneSubscription,
        "a_frame_reaches_all_others",
        &["expected frame \"from 0\"", "no frame came"],
    ),
    (
        Mistake::ReachesAFew,
        "many_subscribers_all_receive",
        &["expected 10 frames", "missing after", "\"0\", \"1\", \"2\""],
    ),
    (
        Mistake::ReadyTooEarly,
        "live_when_subscribe_returns",
        &["expected frame \"published at once", "no frame came"],
    ),
    (
        Mistake::Reorders,
        "one_origin_arrives_in_order",
        &["expected frame", "and got frame"],
    ),
    (
        Mistake::Duplicates,
        "a_frame_comes_once",
        &["each once", "a second time: \"0\""],
    ),
    (
        Mistake::TellsAGapBeforeEachFrame,
        "no_gap_while_nothing_fails",
        &["expected frame", "no gap", "a gap (resync)"],
    ),
    (
        Mistake::TellsAGapAfterwards,
        "no_gap_while_nothing_fails",
        &["expected", "a gap (resync)"],
    ),
    (
        Mistake::LosesWhenBusy,
        "concurrent_publishers_lose_nothing",
        &["frames at node", "missing after", "\"frame "],
    ),
    (
        Mistake::Echoes,
        "own_frames_come_as_declared",
        &["expected", "got frame \"own\""],
    ),
    (
        Mistake::SubscribesOnce,
        "one_subscribes_again",
        &["to subscribe, and it failed", "a subscription already"],
    ),
    // What is said of peers and claimed.
    (
        Mistake::ForgetsAPeer,
        "delivery_names_each_peer",
        &["expected 3 outcomes"],
    ),
    (
        Mistake::NamesAPeerTwice,
        "delivery_names_each_peer",
        &["expected one outcome for each peer", "got two for memory:"],
    ),
    (
        Mistake::CloseLeavesSubscriptions,
        "a_closed_peer_received_nothing",
        &["expected nobody to have received"],
    ),
    (
        Mistake::TellsEverybody,
        "a_frame_for_one_node_goes_as_declared",
        &["expected frame \"for all\"", "\"for node 2 alone\""],
    ),
    (
        Mistake::ClaimsWhatItIs,
        "capabilities_do_not_change",
        &["max_frame: 65536", "and got", "max_frame: 32768"],
    ),
    // Frames.
    (
        Mistake::TakesFramesForText,
        "binary_frames_arrive_whole",
        &["expected frame of 3 bytes [ff fe 80]", "and got frame"],
    ),
    (
        Mistake::SkipsEmptyFrames,
        "an_empty_frame_arrives",
        &["expected frame of 0 bytes", "no frame came"],
    ),
    (
        Mistake::Truncates,
        "the_largest_frame_arrives_whole",
        &[
            "expected frame of 65536 bytes",
            "and got frame of 1024 bytes",
        ],
    ),
    (
        Mistake::SendsLargeFramesAside,
        "one_origin_arrives_in_order",
        &["expected frame of 60000 bytes", "and got frame \""],
    ),
    (
        Mistake::MixesParts,
        "large_frames_at_once_arrive_whole",
        &["expected 3 frames", "that nobody sent", "missing: of "],
    ),
    (
        Mistake::TakesAnySize,
        "one_byte_more_is_too_large",
        &["expected TooLarge", "it was published"],
    ),
    // Acknowledgements.
    (
        Mistake::AcknowledgesEarly,
        "an_acknowledgement_means_applied",
        &["expected publish to wait", "and it gave Ok(Delivery"],
    ),
    (
        Mistake::AcknowledgesTheDropped,
        "a_dropped_acknowledgement_is_not_applied",
        &["expected nobody to have applied"],
    ),
    (
        Mistake::OneAtATime,
        "a_withheld_acknowledgement_delays_no_other",
        &["expected the other node to receive", "withholds"],
    ),
    // Subscribers that do not keep up.
    (
        Mistake::OverflowsSilently,
        "a_slow_subscriber_gets_a_gap",
        &["expected a gap for the ", "missing"],
    ),
    (
        Mistake::TellsOneOverflow,
        "a_slow_subscriber_gets_a_gap",
        &["expected a gap for the ", "missing", "\"second flood "],
    ),
    (
        Mistake::BuffersWithoutBound,
        "no_more_waits_than_declared",
        &["expected at most 256 frames"],
    ),
    (
        Mistake::EndsWithAnOverflow,
        "a_slow_subscriber_gets_a_gap",
        &["a frame after the flood arrives"],
    ),
    (
        Mistake::WaitsForTheSlow,
        "a_slow_subscriber_delays_no_other",
        &["publish while one does not read"],
    ),
    // Strangers.
    (
        Mistake::CrossesClusters,
        "clusters_are_apart",
        &["expected", "got frame", "another cluster\""],
    ),
    (
        Mistake::BelievesStrangers,
        "a_stranger_is_never_authenticated",
        &["expected never to see", "\"forged\" (Authenticated)"],
    ),
    (
        Mistake::NamesNoKind,
        "wrong_credentials_are_denied",
        &["one of [Denied]", "it failed as Other"],
    ),
    (
        Mistake::RetriesTheRefused,
        "wrong_credentials_are_denied",
        &["had not ended", "probe"],
    ),
    (
        Mistake::SubscribesTheRefused,
        "wrong_credentials_are_denied",
        &["had not ended", "subscribe of WrongSecret"],
    ),
    (
        Mistake::NamesNoKind,
        "a_wrong_host_is_unavailable",
        &["one of [Unavailable]", "it failed as Other"],
    ),
    (
        Mistake::RefusesSlowly,
        "a_wrong_host_is_unavailable",
        &[
            "expected a probe of WrongHost to be refused at once",
            "it took [3.",
        ],
    ),
    (
        Mistake::EndsTheRefused,
        "a_wrong_host_is_unavailable",
        &["expected subscribe of WrongHost", "ended without an error"],
    ),
    (
        Mistake::TrustsAnyCertificate,
        "wrong_tls_is_refused",
        &["expected a probe of WrongTls to fail"],
    ),
    (
        Mistake::WaitsOutItsTimeout,
        "wrong_tls_is_refused",
        &[
            "had not ended",
            "a probe of WrongTls is refused, whatever its time-out",
        ],
    ),
    (
        Mistake::ShowsItsSecret,
        "no_secret_is_shown",
        &["expected no secret", "<the secret>"],
    ),
    (
        Mistake::ShowsItsSecretInErrors,
        "no_secret_is_shown",
        &["expected no secret", "signed with <the secret>"],
    ),
    (
        Mistake::ShowsItsSecretInTheEnd,
        "no_secret_is_shown",
        &["expected no secret", "lost <the secret>"],
    ),
    (
        Mistake::ShowsItsSecretAsPeer,
        "no_secret_is_shown",
        &["expected no secret", "http://me:<the secret>@"],
    ),
    (
        Mistake::DeafAfterQuiet,
        "a_quiet_subscription_still_hears",
        &["after"],
    ),
    (
        Mistake::LeaksAConnectionPerSubscription,
        "subscriptions_leak_no_connection",
        &["expected within", "10 dropped subscriptions"],
    ),
    (
        Mistake::LogsItsSecret,
        "no_secret_is_logged",
        &["expected no secret", "secret=<the secret>"],
    ),
    // What breaks.
    (
        Mistake::ReconnectsSilently,
        "a_cut_link_loses_nothing_silently",
        &["to arrive, or a gap", "without a word: \"frame "],
    ),
    (
        Mistake::CannotMend,
        "a_cut_link_loses_nothing_silently",
        &["expected Heal of the harness", "was not built to mend"],
    ),
    (
        Mistake::SaysOkFromItsBuffer,
        "a_publishers_cut_link_loses_nothing_silently",
        &["to arrive, or a gap", "without a word: \"frame "],
    ),
    (
        Mistake::TrustsItsOwnSilence,
        "a_publishers_silent_link_loses_nothing_silently",
        &["to arrive, or a gap", "without a word: \"frame "],
    ),
    (
        Mistake::TakesAStopForNothing,
        "a_stopped_server_loses_nothing_silently",
        &["to arrive, or a gap", "without a word: \"frame "],
    ),
    (
        Mistake::TakesARestartForNothing,
        "a_restarted_server_loses_nothing_silently",
        &["to arrive, or a gap", "without a word: \"frame "],
    ),
    (
        Mistake::SendsToWhoWasThere,
        "a_restarted_node_loses_nothing_silently",
        &["to arrive, or a gap", "without a word: \"frame "],
    ),
    (
        Mistake::TellsGapsOnceItReconnected,
        "calm_returns_after_a_cut",
        &["expected 20 frames in a row", "a gap (resync)"],
    ),
    (
        Mistake::HearsTwiceOnceItReconnected,
        "calm_returns_after_a_cut",
        &["expected 20 frames in a row", "again, or late"],
    ),
    (
        Mistake::SendsTwiceOnceItReconnected,
        "calm_returns_after_a_cut",
        &["expected 20 frames in a row", "again, or late"],
    ),
    (
        Mistake::SwallowsErrors,
        "publishing_while_down_fails_in_time",
        &[
            "expected an error for frame \"while down 0\"",
            "said to be well",
        ],
    ),
    (
        Mistake::WaitsForTheBackend,
        "publishing_while_down_fails_in_time",
        &["had not ended", "publish while down"],
    ),
    (
        Mistake::SendsLate,
        "publishing_while_down_fails_in_time",
        &["expected nothing of what failed", "\"while down 4\""],
    ),
    (
        Mistake::RetriesByATimer,
        "publishing_while_down_fails_in_time",
        &["expected nothing of what failed", "\"while down 4\""],
    ),
    (
        Mistake::ProbesNothing,
        "a_probe_tells_the_truth",
        &["expected a probe to fail"],
    ),
    (
        Mistake::RemembersABadProbe,
        "a_probe_tells_the_truth",
        &["a probe is well after the link healed"],
    ),
    (
        Mistake::DropsTheSlow,
        "a_slow_link_still_delivers",
        &["expected frame \"0\"", "no frame came"],
    ),
    // What falls silent.
    (
        Mistake::TrustsSilence,
        "a_black_hole_is_noticed",
        &["fell silent (BlackHole)", "neither"],
    ),
    (
        Mistake::KeepsTheLastFrame,
        "a_black_hole_is_noticed",
        &["to arrive, or a gap", "without a word: \"frame "],
    ),
    (
        Mistake::TrustsAPausedServer,
        "a_paused_server_is_noticed",
        &["fell silent (Pause)", "neither"],
    ),
    (
        Mistake::ProbesForEver,
        "a_silent_link_holds_no_call",
        &["had not ended", "probe into silence"],
    ),
    (
        Mistake::PublishesForEver,
        "a_silent_link_holds_no_call",
        &["had not ended", "publish into silence"],
    ),
    (
        Mistake::VisitsPeersInTurn,
        "an_unreachable_peer_delays_no_other",
        &["expected nodes to receive while node 1 is not reached"],
    ),
    // Calls whose caller goes away.
    (
        Mistake::KeepsALockWhenDropped,
        "a_dropped_publish_leaves_it_usable",
        &["expected frame \"after\"", "no frame came"],
    ),
    (
        Mistake::SubscribesOnce,
        "a_dropped_subscribe_leaves_it_usable",
        &["to subscribe, and it failed", "a subscription already"],
    ),
    (
        Mistake::KeepsALockWhenAProbeIsDropped,
        "a_dropped_probe_leaves_it_usable",
        &["had not ended", "a probe after others were dropped"],
    ),
    (
        Mistake::ClosesOnlyOnce,
        "a_dropped_close_can_be_repeated",
        &["expected close to succeed after one was dropped"],
    ),
    // The end.
    (
        Mistake::ClosesOnlyOnce,
        "close_is_idempotent",
        &["expected close to succeed", "closed already"],
    ),
    (
        Mistake::CloseLeavesSubscriptions,
        "close_ends_subscriptions",
        &[
            "had not ended",
            "the subscription of a closed transport ends",
        ],
    ),
    (
        Mistake::WorksAfterClose,
        "after_close_all_is_closed",
        &["to fail as Closed after close"],
    ),
    (
        Mistake::CloseWaitsForPublish,
        "close_meets_publish",
        &["had not ended", "close, whatever is in flight"],
    ),
    (
        Mistake::SubscribesPastAClose,
        "close_meets_subscribe",
        &["had not ended", "a subscription that met a close ends"],
    ),
    (
        Mistake::CloseLeavesAConnection,
        "close_ends_connections",
        &["a closed transport has no connection any more"],
    ),
    (
        Mistake::LeaksATask,
        "dropping_leaks_no_task",
        &["tasks, as before", "are alive"],
    ),
    (
        Mistake::LeaksAConnection,
        "dropping_leaks_no_connection",
        &["a dropped transport has no connection any more"],
    ),
];

/// What the harness or the backend does not allow to be tried, the case that says so, and parts of what that says.
pub(super) const IGNORED: &[Caught] = &[
    (
        Mistake::BreaksNothing,
        "no_secret_is_shown",
        &["made a call fail", "no error was looked at"],
    ),
    (
        Mistake::BreaksNothing,
        "no_secret_is_logged",
        &["made a call fail", "no error was looked at"],
    ),
    (
        Mistake::QueuesInFront,
        "a_slow_subscriber_gets_a_gap",
        &["each of 612 frames waited", "`buffered` is 256"],
    ),
    (
        Mistake::QueuesInFront,
        "no_more_waits_than_declared",
        &["does not say how many", "in_transit"],
    ),
];
