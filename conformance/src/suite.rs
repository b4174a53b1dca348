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
    seed,
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
    /// # Panics
    /// When there is no such case.
    pub fn known_failure(mut self, case: &str, reason: impl Into<String>) -> Self {
        let found = self.cases.iter_mut().find(|ready| is_named(ready, case));
        let Some(found) = found else {
            panic!("there is no case {case:?}");
        };
        found.known_failure = Some(reason.into());
        self
    }

    /// The names of all cases, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cases.iter().map(|ready| ready.name.as_str())
    }

    /// Runs one case, named with or without its backend and suite, and says what it found.
    ///
    /// # Panics
    /// When there is no such case.
    pub async fn check(&self, case: &str) -> Verdict {
        let found = self.cases.iter().find(|ready| is_named(ready, case));
        let Some(found) = found else {
            panic!("there is no case {case:?}");
        };
        (found.check)(seed::seed()).await
    }

    /// Runs the suite as a test binary does: with the usual arguments (`--list`, a filter, `--test-threads`), each
    /// case in a runtime of its own, several at once. `--soak MINUTES` repeats it with new seeds for so long, or until
    /// a case fails.
    ///
    /// # Panics
    /// When what follows `--soak` is not a number of minutes.
    pub fn run(self) -> ExitCode {
        let (soak, arguments) = without_soak(std::env::args());
        let arguments = Arguments::from_iter(arguments);
        let end = Instant::now() + soak;
        loop {
            let trials = self.cases.iter().cloned().map(trial).collect();
            let conclusion = libtest_mimic::run(&arguments, trials);
            if conclusion.has_failed() || arguments.list || Instant::now() >= end {
                return conclusion.exit_code();
            }
        }
    }
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

fn is_named(ready: &Ready, case: &str) -> bool {
    ready.name == case || ready.name.rsplit("::").next() == Some(case)
}

fn trial(ready: Ready) -> Trial {
    Trial::ignorable_test(ready.name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let verdict = runtime.block_on((ready.check)(seed::seed()));
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

    /// A wrong number is not taken for no soaking.
    #[test]
    #[should_panic(expected = "give a number of minutes")]
    fn soak_without_minutes_is_refused() {
        parsed(&["me", "--soak"]);
    }
}
