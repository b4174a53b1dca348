//! What runs the cases: as a test binary, or one by one.

use std::{fmt, process::ExitCode, sync::Arc};

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
    /// case in a runtime of its own, several at once.
    pub fn run(self) -> ExitCode {
        let trials = self.cases.into_iter().map(trial).collect();
        libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
    }
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
