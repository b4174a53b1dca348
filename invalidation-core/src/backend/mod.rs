//! For authors of backends: what each would otherwise write again.

mod append_limits;
mod append_queue;
mod inbox;
mod protection;
#[cfg(test)]
mod tests;

pub use append_limits::AppendLimits;
pub use append_queue::{AppendGroup, AppendQueue};
pub use inbox::{Inbox, InboxLimits, InboxReader};
pub use protection::{Protection, says_option, stays_on_host};
