//! SQLite as the version log of the `cache-invalidation` framework.
mod append;
mod builder;
mod connection;
mod cursor;
mod error;
mod file_identity;
mod insert;
mod join;
mod log;
mod purge;
mod read;
mod rows;
mod schema;

pub use builder::{Access, Durability, SqliteLogBuilder};
pub use log::SqliteLog;
