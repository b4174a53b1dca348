//! Wrong logs, each caught by the case named for it.

pub(crate) mod toy_log;

use std::collections::BTreeSet;

use invalidation_conformance::{Verdict, log_suite};
use toy_log::{CAUGHT, Mistake, ToyLogs};

/// The honest log passes every case, and so do those that do what a log may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_honest_logs_pass() {
    for honest in [
        None,
        Some(Mistake::TakesAHundredAtMost),
        Some(Mistake::TellsOthersLast),
    ] {
        let suite = log_suite(ToyLogs(honest));
        for name in suite.names() {
            match suite.check(name).await {
                Verdict::Passed => {}
                other => panic!("{name} of {honest:?}: {other:?}"),
            }
        }
    }
}

/// Each wrong log fails in the cases named for its mistake, with a text that names the case, its promise and the seed, and
/// says what was expected and what came. With `--nocapture` it shows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_log_is_caught() {
    let mut missed = Vec::new();
    for &(mistake, cases) in CAUGHT {
        let suite = log_suite(ToyLogs(Some(mistake)));
        for &(case, says) in cases {
            match suite.check(case).await {
                Verdict::Failed(text) => {
                    eprintln!("{mistake:?}: {text}\n");
                    if let Some(lacks) = lacking(&text, case, says) {
                        missed.push(format!("{mistake:?} in {case} {lacks}: {text}"));
                    }
                }
                other => missed.push(format!("{mistake:?} in {case}: {other:?}")),
            }
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

/// What a failure does not say: case, promise and seed in its first line, then what was expected, and what came instead.
fn lacking(text: &str, case: &str, says: &str) -> Option<String> {
    let lacks = |what: String| Some(format!("does not say {what}"));
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let promise = first
        .strip_prefix(case)
        .and_then(|rest| rest.strip_prefix(" ("))
        .and_then(|rest| rest.split_once("), CONFORMANCE_SEED="));
    let Some((promise, seed)) = promise else {
        return lacks(format!("{case:?}, its promise and a seed"));
    };
    let is_number = |word: &str| {
        let digits = word.strip_prefix('P');
        digits.is_some_and(|digits| digits.parse::<u8>().is_ok_and(|n| (1..=20).contains(&n)))
    };
    if !promise.split(", ").all(is_number) && !promise.starts_with("contract: ") {
        return lacks(format!("which promise, but {promise:?}"));
    }
    if seed.parse::<u64>().is_err() {
        return lacks("a seed".to_owned());
    }
    let came = [
        " came",
        " found ",
        " failed",
        " succeeded",
        " stands in",
        " had not ended",
    ];
    if !rest.contains("expected") || !came.iter().any(|word| rest.contains(word)) {
        return lacks("what was expected, and what came".to_owned());
    }
    if !rest.contains(says) {
        return lacks(format!("{says:?}"));
    }
    None
}

/// Each case is there to catch something: none passes whatever the log does.
#[test]
fn each_case_catches_a_mistake() {
    let caught: BTreeSet<&str> = CAUGHT
        .iter()
        .flat_map(|(_, cases)| *cases)
        .map(|(case, _)| *case)
        .collect();
    let suite = log_suite(ToyLogs(None));
    let cases = suite.names().filter_map(|name| name.rsplit("::").next());
    let idle: Vec<_> = cases.filter(|case| !caught.contains(case)).collect();
    assert!(idle.is_empty(), "cases that catch nothing: {idle:?}");
}
