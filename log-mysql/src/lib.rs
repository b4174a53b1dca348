//! MySQL 8 and MariaDB 10.6 or newer as the version log of the `cache-invalidation` framework.

mod append;
mod attach;
mod builder;
mod connection;
mod cursor;
mod database_name;
mod error;
mod flavour;
mod header;
mod insert;
mod join;
mod log;
mod purge;
mod read;
mod rows;
mod schema;
mod stamp;

pub use attach::{Attach, Attached};
pub use builder::MySqlLogBuilder;
pub use log::MySqlLog;
