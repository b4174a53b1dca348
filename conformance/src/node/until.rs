//! Waiting by macro: a future that is generic over an async closure which borrows is not known to be `Send`, and
//! each case must be.

/// Evaluates an expression, which may await, until it is `Some`; panics after 20 s, saying what did not come.
macro_rules! eventually {
    ($what:expr, $ask:expr) => {{
        let deadline = tokio::time::Instant::now() + $crate::wait::PATIENCE;
        loop {
            if let Some(answer) = $ask {
                break answer;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "never came true: {}",
                $what
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}

/// Evaluates a condition, which may await, for a period; panics when it is true.
macro_rules! never {
    ($what:expr, $period:expr, $condition:expr) => {{
        let end = tokio::time::Instant::now() + $period;
        while tokio::time::Instant::now() < end {
            assert!(!$condition, "came true: {}", $what);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}

pub(crate) use {eventually, never};
