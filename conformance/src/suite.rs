//! What runs the cases: as a test binary, or one by one.

use std::{
    fmt,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    case::{Case, Verdict},
    secrets, seed,
    watchdog::Watchdog,
};

type Check = Arc<dyn Fn(u64) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// The cases of one backend, ready to run.
#[must_use = "a suite that is not run proves nothing"]
pub struct Suite {
    cases: Vec<Ready>,
}

#[derive(Clone)]
struct Ready {
    /// `sqlite::log::append_then_read`
    name: String,
    promise: &'static str,
    check: Check,
    known_failure: Option<String>,
}

impl Suite {
    /// The cases of `table` on this harness.
    pub(crate) fn of<H>(
        backend: &str,
        kind: &str,
        table: &'static [Case<H>],
        harness: Arc<H>,
    ) -> Self
    where
        H: ?Sized + Send + Sync + 'static,
    {
        let ready = |case: &'static Case<H>| {
            let harness = Arc::clone(&harness);
            Ready {
                name: format!("{backend}::{kind}::{}", case.name),
                promise: case.promise,
                check: Arc::new(move |seed| Box::pin(case.check(Arc::clone(&harness), seed))),
                known_failure: None,
            }
        };
        Self {
            cases: table.iter().map(ready).collect(),
        }
    }

    /// These cases too, in one binary.
    pub fn and(mut self, other: Self) -> Self {
        self.cases.extend(other.cases);
        self
    }

    /// A case that is known to fail, and why. It is reported as ignored with the reason, and *fails when it passes*,
    /// so that the reason does not outlive the failure.
    ///
    /// It is named as for [`check`](Self::check).
    ///
    /// # Panics
    /// When there is no such case, or more than one.
    pub fn known_failure(mut self, case: &str, reason: impl Into<String>) -> Self {
        let found = self.position(case);
        self.cases[found].known_failure = Some(reason.into());
        self
    }

    /// The names of all cases, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cases.iter().map(|ready| ready.name.as_str())
    }

    /// Runs one case and says what it found. Of its name, `sqlite::log::append_then_read`, the backend and the suite may
    /// be left out as long as one case alone is meant.
    ///
    /// # Panics
    /// When there is no such case, or more than one.
    pub async fn check(&self, case: &str) -> Verdict {
        let found = &self.cases[self.position(case)];
        listen();
        (found.check)(seed::seed()).await
    }

    /// Where the one case of this name is.
    fn position(&self, case: &str) -> usize {
        let named = |(at, ready): (usize, &Ready)| is_named(ready, case).then_some(at);
        let found: Vec<_> = self.cases.iter().enumerate().filter_map(named).collect();
        match found[..] {
            [one] => one,
            [] => panic!("there is no case {case:?}"),
            _ => panic!(
                "{case:?} may be any of {:?}: say more of its name, or give each harness a name of its own",
                found
                    .iter()
                    .map(|at| &self.cases[*at].name)
                    .collect::<Vec<_>>()
            ),
        }
    }

    /// Runs the suite as a test binary does: with the usual arguments (`--list`, a filter, `--test-threads`), each
    /// case in a runtime of its own, several at once. `--soak MINUTES` repeats it for so long, or until a case fails:
    /// each round with a seed that follows from the first, and that is printed.
    ///
    /// A case that blocks its threads for minutes ends the process, with its name.
    ///
    /// # Panics
    /// When what follows `--soak` is not a number of minutes.
    pub fn run(self) -> ExitCode {
        let (soak, arguments) = without_soak(std::env::args());
        let arguments = Arguments::from_iter(arguments);
        listen();
        let end = Instant::now() + soak;
        let mut seeds = seed::rounds(seed::seed());
        loop {
            let seed = seeds.next().unwrap_or_else(seed::seed);
            if !soak.is_zero() {
                eprintln!("this round: {}={seed}", seed::VARIABLE);
            }
            let trials = self
                .cases
                .iter()
                .cloned()
                .map(|ready| trial(ready, seed))
                .collect();
            let conclusion = libtest_mimic::run(&arguments, trials);
            if conclusion.has_failed() || arguments.list || Instant::now() >= end {
                return conclusion.exit_code();
            }
        }
    }
}

/// Before the first case, since what a backend logs once it logs early. Where it cannot be, the cases about log lines say
/// so.
fn listen() {
    let _later = secrets::install();
}

/// How long to go on, and the arguments that are left for libtest-mimic, which knows of no soaking.
fn without_soak(arguments: impl IntoIterator<Item = String>) -> (Duration, Vec<String>) {
    let (mut soak, mut left) = (Duration::ZERO, Vec::new());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let minutes = match argument.split_once('=') {
            Some(("--soak", minutes)) => minutes.to_owned(),
            _ if argument == "--soak" => arguments.next().unwrap_or_default(),
            _ => {
                left.push(argument);
                continue;
            }
        };
        soak = match minutes.parse::<f64>().map(|minutes| 60.0 * minutes) {
            Ok(seconds) if (0.0..1e9).contains(&seconds) => Duration::from_secs_f64(seconds),
            _ => panic!("--soak {minutes:?}: give a number of minutes"),
        };
    }
    (soak, left)
}

/// Whether `case` is this name, or its end from some `::` on.
fn is_named(ready: &Ready, case: &str) -> bool {
    let rest = ready.name.strip_suffix(case);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
}

fn trial(ready: Ready, seed: u64) -> Trial {
    let name = ready.name.clone();
    Trial::ignorable_test(name, move || {
        // Until the runtime is gone, too, which waits for what blocks.
        let _watchdog = Watchdog::over(&ready.name, ready.promise, seed);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let verdict = runtime.block_on((ready.check)(seed));
        match (verdict, ready.known_failure) {
            (Verdict::Passed, None) => Ok(Completion::Completed),
            (Verdict::Passed, Some(reason)) => Err(Failed::from(format!(
                "it passes, and was known to fail because {reason}: it is no longer a known failure"
            ))),
            (Verdict::Ignored(unable), _) => Ok(Completion::ignored_with(unable.to_string())),
            (Verdict::Failed(_), Some(reason)) => {
                Ok(Completion::ignored_with(format!("known to fail: {reason}")))
            }
            (Verdict::Failed(text), None) => Err(Failed::from(text)),
        }
    })
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> (Duration, Vec<String>) {
        without_soak(arguments.iter().map(ToString::to_string))
    }

    /// `--soak` is taken out, in both its forms, and nothing else is.
    #[test]
    fn soak_is_not_left_for_the_test_runner() {
        let minute = Duration::from_secs(60);
        assert_eq!(
            parsed(&["me", "--list"]),
            (Duration::ZERO, vec!["me".into(), "--list".into()])
        );
        assert_eq!(
            parsed(&["me", "--soak", "1", "history"]),
            (minute, vec!["me".into(), "history".into()])
        );
        assert_eq!(
            parsed(&["me", "--soak=0.5"]),
            (minute / 2, vec!["me".into()])
        );
    }

    /// A suite of cases with these names, each of which passes.
    fn suite(names: &[&str]) -> Suite {
        let ready = |name: &&str| Ready {
            name: (*name).to_owned(),
            promise: "P1",
            check: Arc::new(|_| Box::pin(std::future::ready(Verdict::Passed))),
            known_failure: None,
        };
        Suite {
            cases: names.iter().map(ready).collect(),
        }
    }

    fn two_backends() -> Suite {
        suite(&["a::log::append", "a::log::head"]).and(suite(&["b::log::append"]))
    }

    /// As much of a name as means one case is enough, and only whole words of it.
    #[tokio::test]
    async fn a_case_is_named_by_the_end_of_its_name() {
        for name in ["head", "log::head", "a::log::append", "b::log::append"] {
            assert_eq!(two_backends().check(name).await, Verdict::Passed);
        }
        let marked = two_backends().known_failure("b::log::append", "a reason");
        let known: Vec<_> = marked
            .cases
            .iter()
            .map(|ready| ready.known_failure.as_deref())
            .collect();
        assert_eq!(known, [None, None, Some("a reason")]);
    }

    /// A name that two suites have is not taken for that of the first.
    #[tokio::test]
    #[should_panic(expected = "\"append\" may be any of [\"a::log::append\", \"b::log::append\"]")]
    async fn a_name_of_two_cases_is_refused() {
        two_backends().check("append").await;
    }

    /// Nor is a known failure put down to the first.
    #[test]
    #[should_panic(expected = "\"append\" may be any of [\"a::log::append\", \"b::log::append\"]")]
    fn a_known_failure_of_two_cases_is_refused() {
        let _ = two_backends().known_failure("append", "a reason");
    }

    /// A part of a word is no name.
    #[tokio::test]
    #[should_panic(expected = "there is no case \"end\"")]
    async fn a_part_of_a_word_is_no_name() {
        two_backends().check("end").await;
    }

    /// A wrong number is not taken for no soaking.
    #[test]
    #[should_panic(expected = "give a number of minutes")]
    fn soak_without_minutes_is_refused() {
        parsed(&["me", "--soak"]);
    }
}
