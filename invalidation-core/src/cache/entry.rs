//! What the store holds.

use std::{num::NonZeroU64, sync::Arc};

use crate::clock::Tick;

/// A cached value with what is needed to tell whether it may be served.
///
/// Kept small, 16 bytes beside the value: what a hit costs is mostly memory that is not in the processor's
/// caches. Tags, which few entries have, cost those without them nothing, not even a pointer: the niche of
/// `expires` tells the two apart.
#[derive(Debug)]
pub(super) enum Entry<V> {
    Plain { value: V, life: Life },
    Tagged(Box<Tagged<V>>),
}

/// From when to when an entry may be served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// The sequence at the start of its load.
    pub(super) start: u64,
    /// The tick from which it is not served, in nanoseconds.
    pub(super) expires: NonZeroU64,
}

impl Life {
    /// Of an entry that is not served from `expires` on.
    pub(super) const fn new(start: u64, expires: Tick) -> Self {
        let expires = match NonZeroU64::new(expires.as_nanos()) {
            Some(expires) => expires,
            // What expires at the clock's start is never kept; its first nanosecond is as good.
            None => NonZeroU64::MIN,
        };
        Self { start, expires }
    }
}

#[derive(Debug)]
pub(super) struct Tagged<V> {
    pub(super) value: V,
    pub(super) life: Life,
    pub(super) tags: TagIds,
}

/// The ids of an entry's tags.
pub(super) type TagIds = Arc<[u64]>;

impl<V> Entry<V> {
    pub(super) fn new(value: V, life: Life, tags: TagIds) -> Self {
        if tags.is_empty() {
            Self::Plain { value, life }
        } else {
            Self::Tagged(Box::new(Tagged { value, life, tags }))
        }
    }

    #[inline(always)]
    pub(super) fn value(&self) -> &V {
        match self {
            Self::Plain { value, .. } => value,
            Self::Tagged(tagged) => &tagged.value,
        }
    }
}

/// The caller's measure of an entry.
pub(super) type Weigh<K, V> = Arc<dyn Fn(&K, &V) -> u32 + Send + Sync>;
