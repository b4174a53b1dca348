//! What an invalidation covers.

use std::sync::Arc;

use super::CacheName;

/// The text of a key or a tag, as it travels. See [`CacheKey`](super::CacheKey) for the text of a key.
pub type Text = Box<str>;

/// How much of one cache an invalidation covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The entries with these keys.
    Keys(Arc<[Text]>),
    /// The entries that carry any of these tags.
    Tags(Arc<[Text]>),
    /// Every entry.
    All,
}

impl Scope {
    /// The scope of these key texts.
    pub fn keys<T: Into<Text>>(keys: impl IntoIterator<Item = T>) -> Self {
        Self::Keys(keys.into_iter().map(Into::into).collect())
    }

    /// The scope of these tags.
    pub fn tags<T: Into<Text>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::Tags(tags.into_iter().map(Into::into).collect())
    }

    /// How many keys or tags it names; 1 for [`Scope::All`].
    pub fn len(&self) -> usize {
        match self {
            Self::Keys(items) | Self::Tags(items) => items.len(),
            Self::All => 1,
        }
    }

    /// Whether it names nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A cache and a scope, or everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// Part or all of one cache.
    Cache {
        /// Which cache.
        cache: CacheName,
        /// How much of it.
        scope: Scope,
    },
    /// Every cache of the cluster.
    Everything,
}

impl Invalidation {
    /// The same cache as a whole, or everything: the next larger scope (`P11`).
    #[must_use]
    pub fn widened(&self) -> Self {
        match self {
            Self::Cache { cache, scope } if *scope != Scope::All => Self::Cache {
                cache: cache.clone(),
                scope: Scope::All,
            },
            _ => Self::Everything,
        }
    }
}
