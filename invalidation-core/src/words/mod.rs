//! The words of the field, as types: names, keys, scopes, invalidations, entries, cursors.

mod cursor;
mod entry;
mod gap;
mod key;
mod key_impls;
#[doc(hidden)]
pub mod key_parts;
mod name;
mod node_id;
mod scope;

pub use cursor::{Cursor, CursorError, LogIdentity, Position};
pub use entry::{Entry, EntryHash, LoggedEntry, Nonce, Payload};
pub use gap::GapReason;
pub use key::{CacheKey, KeyError};
pub use name::{CacheName, ClusterName, NameError};
pub use node_id::NodeId;
pub use scope::{Invalidation, Scope, Text};
