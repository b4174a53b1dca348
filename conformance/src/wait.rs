#![allow(dead_code, reason = "filled by the suites")]
//! Waiting for what must come true, and watching for what must not.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

/// Asks until there is an answer; panics after 20 s, saying what did not come.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Panics when `ask` has an answer within `period`.
pub(crate) async fn never<T>(
    what: &str,
    period: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) {
    let end = Instant::now() + period;
    while Instant::now() < end {
        assert!(ask().await.is_none(), "came true: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// What `future` gives; panics when it takes longer than `limit`.
pub(crate) async fn within<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("took longer than {limit:?}: {what}"),
    }
}
