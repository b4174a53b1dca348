//! The fence: what stops a load that began before an invalidation from being kept after it (`P5`, `P7`).

mod flights;
#[cfg(test)]
mod loom_tests;
mod public;
mod sketch;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use flights::{Begun, Consider, FlightTable, Solo, Ticket};
pub use public::{Fence, FenceTicket};
pub(crate) use sketch::Sketch;
pub(crate) use sync::StdSync;
