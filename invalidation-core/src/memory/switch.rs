//! A switch that makes one operation fail.

use std::fmt;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{Error, ErrorKind};

/// Makes one operation of a memory log or transport fail, hang or panic, and counts its calls. For tests.
///
/// All methods take effect at once, on calls that hang as well; none blocks.
pub struct FaultSwitch {
    backend: &'static str,
    operation: &'static str,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    begun: u64,
    finished: u64,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Pass,
    Fail { left: Left, kind: ErrorKind },
    LoseAnswer { left: Left, kind: ErrorKind },
    Panic { left: Left },
    Hang,
}

#[derive(Debug, Clone, Copy)]
enum Left {
    Some(u64),
    All,
}

/// What an operation is to do after it passed its switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Tell,
    Lose(ErrorKind),
}

impl FaultSwitch {
    pub(super) fn new(backend: &'static str, operation: &'static str) -> Self {
        Self {
            backend,
            operation,
            state: Mutex::new(State {
                mode: Mode::Pass,
                begun: 0,
                finished: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// The next `calls` fail with `kind`, and change nothing.
    pub fn fail_next(&self, calls: u64, kind: ErrorKind) {
        self.set(Mode::Fail {
            left: Left::Some(calls),
            kind,
        });
    }

    /// Every call fails with `kind`, and changes nothing, until [`heal`](Self::heal).
    pub fn fail_all(&self, kind: ErrorKind) {
        self.set(Mode::Fail {
            left: Left::All,
            kind,
        });
    }

    /// The next `calls` do their work, and then fail with `kind` all the same: the answer was lost.
    pub fn lose_next_answers(&self, calls: u64, kind: ErrorKind) {
        self.set(Mode::LoseAnswer {
            left: Left::Some(calls),
            kind,
        });
    }

    /// The next `calls` panic.
    pub fn panic_next(&self, calls: u64) {
        self.set(Mode::Panic {
            left: Left::Some(calls),
        });
    }

    /// Every call waits until another fault is chosen or [`heal`](Self::heal) lets it go on. Dropping such a
    /// call is safe: it has done nothing.
    pub fn hang(&self) {
        self.set(Mode::Hang);
    }

    /// Calls pass again, also those that hang.
    pub fn heal(&self) {
        self.set(Mode::Pass);
    }

    /// How many calls were begun.
    pub fn begun(&self) -> u64 {
        self.state.lock().begun
    }

    /// How many calls ended with a result or an error: not those that panicked, were dropped, or are under
    /// way.
    pub fn finished(&self) -> u64 {
        self.state.lock().finished
    }

    /// Waits until at least `calls` were begun, counted from the start. Cancel-safe.
    pub async fn begun_at_least(&self, calls: u64) {
        self.reached(|state| state.begun >= calls).await;
    }

    /// Waits until at least `calls` ended with a result or an error, counted from the start. Cancel-safe.
    pub async fn finished_at_least(&self, calls: u64) {
        self.reached(|state| state.finished >= calls).await;
    }

    async fn reached(&self, condition: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn set(&self, mode: Mode) {
        self.state.lock().mode = mode;
        self.changed.notify_waiters();
    }

    /// Runs `work` as this switch says.
    pub(super) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.update(|state| state.begun += 1);
        let result = match self.pass().await {
            Ok(Answer::Tell) => work.await,
            Ok(Answer::Lose(kind)) => match work.await {
                Ok(_) => Err(self.error(kind, "the answer was lost, as the test asked")),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        self.update(|state| state.finished += 1);
        result
    }

    async fn pass(&self) -> Result<Answer, Error> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(outcome) = self.decide() {
                return outcome;
            }
            changed.await;
        }
    }

    /// What this call does; `None` while it hangs.
    fn decide(&self) -> Option<Result<Answer, Error>> {
        let mode = {
            let mut state = self.state.lock();
            let mode = state.mode;
            match &mut state.mode {
                Mode::Fail { left, .. } | Mode::LoseAnswer { left, .. } | Mode::Panic { left } => {
                    if !left.take() {
                        state.mode = Mode::Pass;
                        return Some(Ok(Answer::Tell));
                    }
                }
                Mode::Pass | Mode::Hang => {}
            }
            mode
        };
        match mode {
            Mode::Pass => Some(Ok(Answer::Tell)),
            Mode::Fail { kind, .. } => Some(Err(self.error(kind, "it failed, as the test asked"))),
            Mode::LoseAnswer { kind, .. } => Some(Ok(Answer::Lose(kind))),
            Mode::Panic { .. } => panic!(
                "{} {} panics, as the test asked",
                self.backend, self.operation
            ),
            Mode::Hang => None,
        }
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_waiters();
    }

    fn error(&self, kind: ErrorKind, message: &'static str) -> Error {
        Error::new(kind, self.backend, self.operation, message)
    }
}

impl Left {
    /// Whether there was one left to take.
    const fn take(&mut self) -> bool {
        match self {
            Self::All => true,
            Self::Some(0) => false,
            Self::Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl fmt::Debug for FaultSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("FaultSwitch")
            .field("operation", &self.operation)
            .field("mode", &state.mode)
            .field("begun", &state.begun)
            .field("finished", &state.finished)
            .finish_non_exhaustive()
    }
}
