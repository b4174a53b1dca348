//! Asking again and again, in place of a call with a closure: what a case borrows stays `Send` that way.

/// Evaluates until it is `Some`, and gives what is in it; panics after 20 s, saying what did not come true.
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
pub(super) use eventually;
