//! Keeps the in-process caches of a service's many nodes coherent.

pub mod config;

pub use invalidation_core::*;
