//! Wrong transports, each caught by the case that is named for its mistake.

#[path = "transport/harness.rs"]
mod harness;
#[path = "transport/outsider.rs"]
mod outsider;
#[path = "transport/streams.rs"]
mod streams;
#[path = "transport/wrong.rs"]
mod wrong;

use std::{collections::BTreeSet, thread};

use invalidation_conformance::{Verdict, transport_suite};

use self::{harness::Harness, wrong::Mistake};

/// A mistake, the case that catches it, and some of what that says.
const CAUGHT: &[(Mistake, &str, &str)] = &[
    (
        Mistake::ReconnectsSilently,
        "a_cut_link_loses_nothing_silently",
        "without a word",
    ),
    (
        Mistake::ReadyTooEarly,
        "live_when_subscribe_returns",
        "published at once",
    ),
    (
        Mistake::SwallowsErrors,
        "publishing_while_down_fails_in_time",
        "said to be well",
    ),
    (
        Mistake::SendsLate,
        "publishing_while_down_fails_in_time",
        "after it healed",
    ),
    (
        Mistake::Reorders,
        "one_origin_arrives_in_order",
        "and got frame",
    ),
    (
        Mistake::LosesWhenBusy,
        "concurrent_publishers_lose_nothing",
        "missing after",
    ),
    (
        Mistake::Truncates,
        "the_largest_frame_arrives_whole",
        "of 1024 bytes",
    ),
    (
        Mistake::TakesFramesForText,
        "binary_frames_arrive_whole",
        "and got frame",
    ),
    (
        Mistake::SkipsEmptyFrames,
        "an_empty_frame_arrives",
        "of 0 bytes",
    ),
    (
        Mistake::TakesAnySize,
        "one_byte_more_is_too_large",
        "expected TooLarge",
    ),
    (Mistake::Echoes, "own_frames_come_as_declared", "\"own\""),
    (
        Mistake::TellsEverybody,
        "a_frame_for_one_node_goes_as_declared",
        "for node 2 alone",
    ),
    (
        Mistake::ForgetsAPeer,
        "delivery_names_each_peer",
        "expected 3 outcomes",
    ),
    (
        Mistake::AcknowledgesEarly,
        "an_acknowledgement_means_applied",
        "acknowledgement",
    ),
    (
        Mistake::AcknowledgesTheDropped,
        "a_dropped_acknowledgement_is_not_applied",
        "expected nobody",
    ),
    (
        Mistake::OneAtATime,
        "a_withheld_acknowledgement_delays_no_other",
        "withholds",
    ),
    (
        Mistake::OverflowsSilently,
        "a_slow_subscriber_gets_a_gap",
        "expected a gap",
    ),
    (
        Mistake::BuffersWithoutBound,
        "a_slow_subscriber_gets_a_gap",
        "expected at most",
    ),
    (
        Mistake::CrossesClusters,
        "clusters_are_apart",
        "another cluster",
    ),
    (
        Mistake::BelievesStrangers,
        "a_stranger_is_never_authenticated",
        "Authenticated",
    ),
    (
        Mistake::NamesNoKind,
        "wrong_credentials_are_denied",
        "Denied",
    ),
    (
        Mistake::NamesNoKind,
        "a_wrong_host_is_unavailable",
        "Unavailable",
    ),
    (
        Mistake::ShowsItsSecret,
        "no_secret_is_shown",
        "<the secret>",
    ),
    (
        Mistake::LogsItsSecret,
        "no_secret_is_logged",
        "<the secret>",
    ),
    (
        Mistake::ProbesNothing,
        "a_probe_tells_the_truth",
        "expected a probe to fail",
    ),
    (Mistake::TrustsSilence, "a_black_hole_is_noticed", "neither"),
    (
        Mistake::KeepsALockWhenDropped,
        "a_dropped_publish_leaves_it_usable",
        "publish",
    ),
    (
        Mistake::ClosesOnlyOnce,
        "close_is_idempotent",
        "expected close to succeed",
    ),
    (
        Mistake::ClosesOnlyOnce,
        "a_dropped_close_can_be_repeated",
        "expected close to succeed",
    ),
    (
        Mistake::CloseLeavesSubscriptions,
        "close_ends_subscriptions",
        "ends",
    ),
    (
        Mistake::CloseWaitsForPublish,
        "close_meets_publish",
        "close",
    ),
    (
        Mistake::WorksAfterClose,
        "after_close_all_is_closed",
        "Closed after close",
    ),
    (
        Mistake::SubscribesOnce,
        "a_dropped_subscribe_leaves_it_usable",
        "subscribe",
    ),
    (
        Mistake::CloseLeavesSubscriptions,
        "a_closed_peer_received_nothing",
        "expected nobody",
    ),
    (Mistake::SubscribesOnce, "one_subscribes_again", "subscribe"),
    (Mistake::LeaksATask, "dropping_leaks_no_task", "are alive"),
];

/// Each mistake fails in the case named for it, with a text that says what was expected; the same transport without it
/// passes that case.
#[test]
fn each_wrong_transport_is_caught() {
    // At once, each in a runtime of its own: most wait for what never comes.
    let wrong = CAUGHT.iter().map(|&(mistake, case, says)| {
        thread::spawn(move || {
            let text = match check(Some(mistake), case) {
                Verdict::Failed(text) => text,
                other => return Some(format!("{mistake:?} is not caught by {case}: {other:?}")),
            };
            eprintln!("{mistake:?}: {text}\n");
            let complete = text.contains(says) && text.contains("CONFORMANCE_SEED=");
            (!complete).then(|| format!("{case} of {mistake:?} does not say {says:?}: {text}"))
        })
    });
    let cases: BTreeSet<_> = CAUGHT.iter().map(|(_, case, _)| *case).collect();
    let honest = cases.into_iter().map(|case| {
        thread::spawn(move || match check(None, case) {
            Verdict::Passed => None,
            other => Some(format!("without a mistake, {case} is {other:?}")),
        })
    });
    let wrong: Vec<_> = wrong.collect();
    let honest: Vec<_> = honest.collect();
    let said = wrong
        .into_iter()
        .chain(honest)
        .filter_map(|thread| thread.join().expect("a verdict"));
    let said: Vec<_> = said.collect();
    assert!(said.is_empty(), "{}", said.join("\n\n"));
}

fn check(mistake: Option<Mistake>, case: &str) -> Verdict {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let suite = transport_suite(Harness { mistake });
    runtime.block_on(suite.check(case))
}
