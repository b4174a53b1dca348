//! What is wrong with a configuration, and where it stands.

use std::fmt;

/// A configuration that cannot be used: everything that is wrong with it, so that one look mends it all.
///
/// Its text has a line for each problem, which names the file and line or the environment variable, the key,
/// and what to do. No secret and no password is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    pub(super) fn one(problem: Problem) -> Self {
        Self::new(vec![problem])
    }

    /// What is wrong, one by one; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => only.fmt(f),
            all => {
                write!(f, "{} problems in the configuration:", all.len())?;
                all.iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where the value came from: `cache-invalidation.toml:12`, `variable CACHE_INVALIDATION__LOG__URL`.
    /// `None` for what is missing everywhere.
    pub origin: Option<String>,
    /// The key, from the top: `log.url`. Empty when it is about a source as a whole.
    pub key: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn source(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            origin: Some(origin.into()),
            key: String::new(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}
