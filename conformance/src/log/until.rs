//! Asking until there is an answer, within a case.

/// What `$ask` gives once it is `Some`; panics after 20 s, saying what did not come. A macro, since the future of
/// an async closure that borrows cannot be shown to be `Send`.
macro_rules! until {
    ($what:expr, $ask:expr) => {
        $crate::wait::within($what, $crate::wait::PATIENCE, async {
            loop {
                if let Some(answer) = $ask {
                    break answer;
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await
    };
}
pub(super) use until;
