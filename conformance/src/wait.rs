//! Waiting for what must come true, and watching for what must not.
//!
//! By macro where something is asked again and again: a future that is generic over an async closure which borrows is not
//! known to be `Send`, and each case must be.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Evaluates an expression, which may await, until it is `Some`, and gives what is in it; panics after [`PATIENCE`],
/// saying what did not come.
macro_rules! eventually {
    ($what:expr, $ask:expr $(,)?) => {{
        let deadline = tokio::time::Instant::now() + $crate::wait::PATIENCE;
        loop {
            if let Some(answer) = $ask {
                break answer;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
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

/// What `future` gives; panics when it takes longer than `limit`.
pub(crate) async fn within<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("expected within {limit:?}, and it had not ended: {what}"),
    }
}

/// Polls `future` once: it begins, and goes on until it has to wait for something. Its output when it did not.
pub(crate) async fn arrive<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
