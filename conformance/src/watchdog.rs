//! What ends a process in which a case blocks its threads: no time-out of a runtime ends that.

use std::{
    process,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use crate::deadline;

/// How long a case may block, when it should have failed by itself.
const BLOCKED: Duration = deadline::OF_A_CASE.saturating_mul(3);
/// As of a panic.
const EXIT_CODE: i32 = 101;

/// Looks after one case until it is dropped.
#[must_use = "dropped, it looks after nothing"]
pub(crate) struct Watchdog {
    _over: Sender<()>,
}

impl Watchdog {
    /// Ends the process, saying so, when `case` takes so long that it must be blocked.
    pub(crate) fn over(case: &str, promise: &str, seed: u64) -> Self {
        let what = format!("{case} ({promise}), {}={seed}", crate::seed::VARIABLE);
        Self::start(BLOCKED, move |after| {
            eprintln!("{}", barks(&what, after));
            process::exit(EXIT_CODE);
        })
    }

    fn start(limit: Duration, bites: impl FnOnce(Duration) + Send + 'static) -> Self {
        let (over, ended) = channel();
        let began = Instant::now();
        thread::spawn(move || {
            // Nothing is ever sent: it ends when the other side is dropped.
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                bites(began.elapsed());
            }
        });
        Self { _over: over }
    }
}

fn barks(what: &str, after: Duration) -> String {
    format!(
        "\n{what}\nexpected it to end within {:?}, and after {after:.0?} it still blocks its threads, where nothing can end \
         it: this process ends",
        deadline::OF_A_CASE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case that blocks is named, with its promise, and with how long it took.
    #[test]
    fn who_blocks_is_named() {
        let (bitten, bite) = channel();
        let dog = Watchdog::start(Duration::from_millis(20), move |after| {
            let _ = bitten.send(barks("a::log::append (P1), CONFORMANCE_SEED=7", after));
        });
        let text = bite.recv().expect("it bites");
        drop(dog);
        assert!(
            text.contains("a::log::append (P1), CONFORMANCE_SEED=7")
                && text.contains("expected it to end within 60s"),
            "{text}"
        );
    }

    /// One that ended is left alone.
    #[test]
    fn who_ended_is_left_alone() {
        let (bitten, bite) = channel::<()>();
        drop(Watchdog::start(Duration::from_secs(3600), move |_| {
            let _ = bitten.send(());
        }));
        // Its thread ends, and tells nothing.
        assert!(bite.recv().is_err());
    }
}
