//! The row format of the SQL logs of the `cache-invalidation` framework, for authors of such logs.
//!
//! Each entry is one row, of columns that SQL triggers, other languages and operators can write as well:
//!
//! | column | holds |
//! | --- | --- |
//! | `nonce` | a random number, as a signed integer of 64 bits |
//! | `cache` | the cache's name; NULL with `everything` |
//! | `scope` | `keys`, `tags`, `all` or `everything` |
//! | `items` | the keys or tags, as a JSON array of texts |
//!
//! [`Row`] and [`parameter`] write it, [`Columns::decode`] reads it. Where rows stand in their table, and in which order
//! they are read, is each log's own.

mod columns;
mod row;
#[cfg(test)]
mod tests;

pub use columns::{Column, Columns};
pub use row::{Row, parameter};

/// The words of the column `scope`.
mod scope {
    pub(crate) const KEYS: &str = "keys";
    pub(crate) const TAGS: &str = "tags";
    pub(crate) const ALL: &str = "all";
    pub(crate) const EVERYTHING: &str = "everything";
}
