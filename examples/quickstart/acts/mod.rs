//! The six acts.

mod all_layers;
mod crashed_publisher;
mod lease;
mod log_alone;
mod stopped_node;
mod unreadable_log;
mod update_from_outside;

pub(crate) use all_layers::all_layers;
pub(crate) use crashed_publisher::crashed_publisher;
pub(crate) use log_alone::log_alone;
pub(crate) use stopped_node::stopped_node;
pub(crate) use unreadable_log::unreadable_log;
pub(crate) use update_from_outside::update_from_outside;
