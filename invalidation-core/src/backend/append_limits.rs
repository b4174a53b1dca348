//! How much is appended at once.

use crate::{Entry, Error, ErrorKind, Invalidation, Scope};

/// How much an [`AppendQueue`](super::AppendQueue) holds, and how much one append may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendLimits {
    /// The log's name in errors: `"sqlite"`.
    pub backend: &'static str,
    /// How many callers may wait; one more waits for a place.
    pub queue: usize,
    /// How many callers share one group.
    pub group: usize,
    /// The most bytes of names, keys and tags of one append, and of a group. What a backend sends is more, by its
    /// encoding: leave room for that below the backend's own limit.
    pub bytes: usize,
}

impl AppendLimits {
    /// 1,024 callers that wait, 256 to a group, and 64 MiB.
    pub const fn new(backend: &'static str) -> Self {
        Self {
            backend,
            queue: 1_024,
            group: 256,
            bytes: 64 << 20,
        }
    }

    /// Refuses what is too large for one append.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`], in `operation`.
    pub fn check(&self, operation: &'static str, entries: &[Entry]) -> Result<(), Error> {
        let bytes: usize = entries.iter().map(bytes_of).sum();
        if bytes <= self.bytes {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            self.backend,
            operation,
            format!(
                "{bytes} bytes of keys and tags are more than {}: append fewer at a time, or clear the cache",
                self.bytes
            ),
        ))
    }
}

pub(super) fn bytes_of(entry: &Entry) -> usize {
    match &entry.invalidation {
        Invalidation::Everything => 0,
        Invalidation::Cache { cache, scope } => {
            let items: &[_] = match scope {
                Scope::All => &[],
                Scope::Keys(items) | Scope::Tags(items) => items,
            };
            cache.as_str().len() + items.iter().map(|item| item.len()).sum::<usize>()
        }
    }
}
