//! Why a read has no value.

use std::{error::Error as StdError, sync::Arc};

/// Why a read has no value. Cheap to clone: all who waited for one load share its error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The loader returned an error.
    #[error("the loader failed: {0}")]
    Loader(Arc<dyn StdError + Send + Sync>),
    /// The log could not be read in time, and the cache is set to fail rather than to load.
    #[error(
        "cached values may be older than max_staleness and on_stale is \"fail\": retry when the \
         invalidation log can be read again"
    )]
    Stale,
    /// The load took longer than `load_timeout`.
    #[error("the load took longer than load_timeout")]
    TimedOut,
    /// `max_concurrent_loads` were running, and none ended within `load_queue_timeout`.
    #[error(
        "too many loads are running: retry later, or raise max_concurrent_loads or load_queue_timeout"
    )]
    Overloaded,
    /// The loader panicked.
    #[error("the loader panicked")]
    Panicked,
}

impl LoadError {
    /// The loader's own error, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Self::Loader(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// The label of this error in metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Loader(_) => "loader",
            Self::Stale => "stale",
            Self::TimedOut => "timed_out",
            Self::Overloaded => "overloaded",
            Self::Panicked => "panicked",
        }
    }
}
