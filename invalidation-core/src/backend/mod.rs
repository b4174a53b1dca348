//! For authors of logs: what the log of any backend would otherwise write again.

mod append_limits;
mod append_queue;
#[cfg(test)]
mod tests;

pub use append_limits::AppendLimits;
pub use append_queue::{AppendGroup, AppendQueue};
