//! One case: a rule of the contract, and what shows that it is kept.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};

use crate::{Unable, deadline};

/// What a case found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rule is kept.
    Passed,
    /// It could not be tried.
    Ignored(Unable),
    /// It is broken, or the harness failed: what was expected, and what came.
    Failed(String),
}

/// A row of a suite's table. Broken rules panic; what cannot be tried returns [`Unable`].
pub(crate) struct Case<H: ?Sized> {
    pub(crate) name: &'static str,
    /// Which promise, or which sentence of the contract.
    pub(crate) promise: &'static str,
    pub(crate) run: fn(Arc<H>, u64) -> BoxFuture<'static, Result<(), Unable>>,
}

/// A table of cases, each an `async fn(Arc<H>, seed) -> Result<(), Unable>` of the same name in scope.
macro_rules! cases {
    ($harness:ty; $($promise:literal $($path:ident)::+,)*) => {
        &[$($crate::case::Case {
            name: $crate::case::last_segment(stringify!($($path)::+)),
            promise: $promise,
            run: |harness: std::sync::Arc<$harness>, seed| {
                futures_util::FutureExt::boxed($($path)::+(harness, seed))
            },
        }),*]
    };
}
pub(crate) use cases;

/// `append_then_read` of `reading::append_then_read`.
pub(crate) const fn last_segment(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b':' && bytes[start - 1] != b' ' {
        start -= 1;
    }
    path.split_at(start).1
}

impl<H: ?Sized> Case<H> {
    pub(crate) async fn check(&self, harness: Arc<H>, seed: u64) -> Verdict {
        let run = AssertUnwindSafe((self.run)(harness, seed)).catch_unwind();
        let broken = match tokio::time::timeout(deadline::OF_A_CASE, run).await {
            Ok(Ok(Ok(()))) => return Verdict::Passed,
            Ok(Ok(Err(unable))) => return Verdict::Ignored(unable),
            Ok(Err(panic)) => text_of(&*panic),
            Err(_) => format!("took longer than {:?}", deadline::OF_A_CASE),
        };
        Verdict::Failed(format!(
            "{} ({}), {}={seed}\n{broken}",
            self.name,
            self.promise,
            crate::seed::VARIABLE
        ))
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".to_owned())
}
