//! The cache: a store, the fence and the flights around it.

mod apply;
mod builder;
mod bypass;
mod context;
mod entry;
mod expiry;
mod fill;
mod flight;
mod handle;
mod inner;
mod invalidate;
mod lead;
mod limiter;
mod load;
mod load_error;
mod loaded;
mod read;
mod replica_lag;
mod settings;
mod stats;
mod store;
#[cfg(test)]
mod tests;

pub use builder::CacheBuilder;
pub(crate) use context::CacheContext;
pub use fill::Fill;
pub use handle::Cache;
pub(crate) use inner::Inner;
pub use load_error::LoadError;
pub use loaded::Loaded;
pub use settings::{CacheSettings, OnStale};
pub use stats::CacheStats;
