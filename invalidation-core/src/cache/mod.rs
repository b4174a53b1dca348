//! The cache.

mod context;
mod settings;

pub(crate) use context::{CacheContext, Register};
pub use settings::{CacheSettings, OnStale};
