//! Waiting for what must come true, and watching for what must not.
//!
//! By macro where something is asked again and again: a future that is generic over an async closure which borrows is not
//! known to be `Send`, and each case must be.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Evaluates an expression, which may await, until it is `Some`, and gives what is in it; panics after [`PATIENCE`],
/// saying what did not come. The last look begins after that, whatever held up the one before.
macro_rules! eventually {
    ($what:expr, $ask:expr $(,)?) => {{
        let deadline = tokio::time::Instant::now() + $crate::wait::PATIENCE;
        loop {
            let is_last = tokio::time::Instant::now() >= deadline;
            if let Some(answer) = $ask {
                break answer;
            }
            assert!(
                !is_last,
                "expected within {:?}, and it never came true: {}",
                $crate::wait::PATIENCE,
                $what
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}

/// Evaluates a condition, which may await, for a period; panics when it is true.
macro_rules! never {
    ($what:expr, $period:expr, $condition:expr $(,)?) => {{
        let end = tokio::time::Instant::now() + $period;
        while tokio::time::Instant::now() < end {
            assert!(!$condition, "came true: {}", $what);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}

pub(crate) use {eventually, never};

/// What `future` gives; panics when it takes longer than `limit`. A stall, in which the machine ran nobody, counts as a
/// small part of it: what was due meanwhile comes to pass before this gives up.
pub(crate) async fn within<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    const PARTS: u32 = 20;
    let mut future = pin!(future);
    for _ in 0..PARTS {
        if let Ok(output) = tokio::time::timeout(limit / PARTS, future.as_mut()).await {
            return output;
        }
    }
    panic!("expected within {limit:?}, and it had not ended: {what}")
}

/// Polls `future` once: it begins, and goes on until it has to wait for something. Its output when it did not.
pub(crate) async fn arrive<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What waits for a timer that was due in a stall, and then goes on, is not taken for what hangs.
    #[tokio::test]
    async fn a_stall_is_no_hang() {
        let limit = Duration::from_millis(400);
        let steps = async {
            tokio::time::sleep(limit / 20).await;
            // Nothing else runs in this runtime meanwhile.
            std::thread::sleep(2 * limit);
            tokio::time::sleep(limit / 20).await;
            tokio::time::sleep(limit / 20).await;
        };
        within("three steps", limit, steps).await;
    }

    /// What hangs is given up, and named.
    #[tokio::test]
    #[should_panic(expected = "expected within 40ms, and it had not ended: a read")]
    async fn what_hangs_is_given_up() {
        let limit = Duration::from_millis(40);
        within("a read", limit, std::future::pending::<()>()).await;
    }
}
