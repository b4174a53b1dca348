//! Wrong transports, each caught by the case that is named for its mistake.

#[path = "transport/caught.rs"]
mod caught;
#[path = "transport/harness.rs"]
mod harness;
#[path = "transport/mistake.rs"]
mod mistake;
#[path = "transport/net.rs"]
mod net;
#[path = "transport/outsider.rs"]
mod outsider;
#[path = "transport/routes.rs"]
mod routes;
#[path = "transport/streams.rs"]
mod streams;
#[path = "transport/wrong.rs"]
mod wrong;

use std::{collections::BTreeSet, thread};

use invalidation_conformance::{Suite, Verdict, transport_suite};

use self::{
    caught::{CAUGHT, Caught, IGNORED},
    harness::Harness,
    mistake::Mistake,
};

/// Each mistake fails in the case named for it, with a text that names the promise and the seed, and says what was
/// expected and what came instead. With `--nocapture` it shows these texts.
#[test]
fn each_wrong_transport_is_caught() {
    all(CAUGHT, |&(mistake, case, says): &Caught| {
        let text = match check(Some(mistake), case) {
            Verdict::Failed(text) => text,
            other => return Some(format!("{mistake:?} is not caught by {case}: {other:?}")),
        };
        eprintln!("{mistake:?}: {text}\n");
        let complete = is_headed(&text, case) && says.iter().all(|part| text.contains(part));
        (!complete).then(|| format!("{case} of {mistake:?} does not say {says:?}: {text}"))
    });
}

/// What could not be tried is ignored with a reason, and neither passes nor fails.
#[test]
fn what_cannot_be_tried_is_ignored() {
    all(IGNORED, |&(mistake, case, says): &Caught| {
        let reason = match check(Some(mistake), case) {
            Verdict::Ignored(unable) => unable.to_string(),
            other => return Some(format!("{case} of {mistake:?} is not ignored: {other:?}")),
        };
        let complete = says.iter().all(|part| reason.contains(part));
        (!complete).then(|| format!("{case} of {mistake:?} does not say {says:?}: {reason}"))
    });
}

/// The same transport without a mistake passes every case, and none is ignored.
#[test]
fn the_honest_transport_passes() {
    let suite = suite(None);
    let cases: Vec<_> = names(&suite).collect();
    all(&cases, |case| match check(None, case) {
        Verdict::Passed => None,
        other => Some(format!("without a mistake, {case} is {other:?}")),
    });
}

/// And so does one that keeps a single subscription at a time, which is all that a node needs.
#[test]
fn one_that_keeps_one_subscription_passes() {
    let keeps_one = Some(Mistake::KeepsOneSubscription);
    let suite = suite(keeps_one);
    let cases: Vec<_> = names(&suite).collect();
    all(&cases, |case| match check(keeps_one, case) {
        Verdict::Passed => None,
        other => Some(format!(
            "with one subscription at a time, {case} is {other:?}"
        )),
    });
}

/// Each case is there to catch something: none passes whatever the transport does.
#[test]
fn each_case_catches_a_mistake() {
    let caught: BTreeSet<&str> = CAUGHT.iter().map(|(_, case, _)| *case).collect();
    let suite = suite(None);
    let idle: Vec<_> = names(&suite)
        .filter(|case| !caught.contains(case))
        .collect();
    assert!(idle.is_empty(), "cases that catch nothing: {idle:?}");
}

/// At once, each in a runtime of its own: most wait for what never comes.
fn all<T: Sync>(items: &[T], wrong: impl Fn(&T) -> Option<String> + Sync) {
    let said: Vec<_> = thread::scope(|scope| {
        let wrong = &wrong;
        let threads = items.iter().map(|item| scope.spawn(move || wrong(item)));
        let threads: Vec<_> = threads.collect();
        let said = threads.into_iter();
        said.filter_map(|thread| thread.join().expect("a verdict"))
            .collect()
    });
    assert!(said.is_empty(), "{}", said.join("\n\n"));
}

/// `case (promise), CONFORMANCE_SEED=number`
fn is_headed(text: &str, case: &str) -> bool {
    let head = text.lines().next().and_then(|line| line.strip_prefix(case));
    let Some((promise, seed)) =
        head.and_then(|head| head.strip_prefix(" (")?.split_once("), CONFORMANCE_SEED="))
    else {
        return false;
    };
    let named = promise.starts_with('P') || promise.starts_with("contract: ");
    named && seed.parse::<u64>().is_ok()
}

fn suite(mistake: Option<Mistake>) -> Suite {
    transport_suite(Harness { mistake })
}

fn names(suite: &Suite) -> impl Iterator<Item = &str> {
    suite.names().filter_map(|name| name.rsplit("::").next())
}

fn check(mistake: Option<Mistake>, case: &str) -> Verdict {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(suite(mistake).check(case))
}
