//! What a loader gives back.

use std::time::Duration;

/// A loaded value, and how it is to be kept. A loader that has nothing to say about that returns the value
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Loaded<V> {
    pub(crate) value: V,
    pub(crate) tags: Vec<Box<str>>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) cached: bool,
}

impl<V> Loaded<V> {
    /// `value`, kept like any other of its cache.
    pub const fn new(value: V) -> Self {
        Self {
            value,
            tags: Vec::new(),
            ttl: None,
            cached: true,
        }
    }

    /// With one more tag. An invalidation of any of its tags drops the entry. Negative values carry tags too.
    pub fn tag(mut self, tag: impl Into<Box<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// With more tags.
    pub fn tags<T: Into<Box<str>>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// With a TTL of its own in place of the cache's, from the start of the load; still under the operator's
    /// cap.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Returned to those who wait for it, but not cached.
    pub const fn uncached(mut self) -> Self {
        self.cached = false;
        self
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}
