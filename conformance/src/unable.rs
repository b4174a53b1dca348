//! Why a harness, or its backend, cannot do what a case needs.

use std::{borrow::Cow, fmt};

/// Why a harness, or its backend, cannot do what a case needs. The case is then ignored with this reason.
///
/// Not for what *failed*: a harness that should be able to and is not panics, and the case fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unable(Cow<'static, str>);

impl Unable {
    /// With a reason that says what is missing: `"SQLite has one writer at a time"`.
    pub fn because(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
