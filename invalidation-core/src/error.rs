//! The one error type of both interfaces.

use std::{borrow::Cow, error::Error as StdError, fmt};

/// A boxed error of a driver, a loader or a target.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong in a log, a transport or a node.
///
/// Programs act on [`Error::kind`] and [`Error::retry`]; people read the message, which says what to do
/// next. No credential is ever part of it: drivers redact addresses before they convert.
#[derive(Debug)]
#[non_exhaustive]
pub struct Error {
    /// What a program may act on.
    pub kind: ErrorKind,
    /// Whether the same call may succeed later with nothing changed by an operator.
    pub retry: Retry,
    /// What was being done: `"append"`, `"subscribe"`, …
    pub operation: &'static str,
    /// Which backend it happened in: `"sqlite"`, `"http"`, `"node"`, …
    pub backend: &'static str,
    /// What happened, and what to do about it.
    pub message: Cow<'static, str>,
    /// The driver's own error.
    pub source: Option<BoxError>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, a name or a setting is not acceptable.
    Invalid,
    /// The backend could not be reached, or the link to it was lost.
    Unavailable,
    /// The backend did not answer within the configured time.
    TimedOut,
    /// Credentials are missing, wrong or not sufficient.
    Denied,
    /// The backend is read-only or full.
    ReadOnly,
    /// What is stored is not what this version can read.
    Incompatible,
    /// A bounded queue, buffer or body was too small for it.
    TooLarge,
    /// The node, the log or the transport was closed.
    Closed,
    /// The backend cannot do this at all.
    Unsupported,
    /// Anything else.
    Other,
}

/// Whether the same call may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It will fail again until somebody changes something.
    Permanent,
    /// It may succeed later.
    Temporary,
}

impl Error {
    /// An error of `kind`, in `operation` of `backend`. Whether it is [`Retry::Temporary`] follows from
    /// the kind: `Unavailable`, `TimedOut` and `ReadOnly` are.
    pub fn new(
        kind: ErrorKind,
        backend: &'static str,
        operation: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let retry = match kind {
            ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::ReadOnly => Retry::Temporary,
            _ => Retry::Permanent,
        };
        Self {
            kind,
            retry,
            operation,
            backend,
            message: message.into(),
            source: None,
        }
    }

    /// With the driver's error as its source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With another judgement about retrying.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same error once more, for another who waited for the same: of its source there is the text.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            kind: self.kind,
            retry: self.retry,
            operation: self.operation,
            backend: self.backend,
            message: self.message.clone(),
            source: self.source.as_ref().map(|source| source.to_string().into()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.backend, self.operation, self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
