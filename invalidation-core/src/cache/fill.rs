//! Fills by hand.

use std::{fmt, hash::Hash, sync::Arc};

use equivalent::Equivalent;

use super::{
    Inner, Loaded,
    lead::{InFlight, label},
};
use crate::{
    clock::Tick,
    fence::{Begun, Consider, Ticket},
};

/// A fill that was begun by [`Cache::start_fill`](super::Cache::start_fill). Dropping it keeps nothing.
#[must_use = "a fill that is dropped keeps nothing: complete it with the value"]
pub struct Fill<K: Send, V: Send + Sync> {
    inner: Arc<Inner<K, V>>,
    key: K,
    ticket: Option<Ticket>,
    began: Tick,
}

impl<K, V> Fill<K, V>
where
    K: Eq + Hash + Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    pub(super) fn begin<Q>(inner: &Arc<Inner<K, V>>, key: &Q) -> Self
    where
        Q: ?Sized + Hash + ToOwned<Owned = K> + Equivalent<K>,
    {
        let began = inner.clock.now();
        let hash = inner.hash(key);
        let ticket = if inner.is_started(began) {
            let begun = inner.flights.begin(
                hash,
                key,
                || None::<()>,
                |_| Consider::Skip,
                || inner.refuses(hash, began),
                || (key.to_owned(), None),
            );
            match begun {
                Begun::Flight(ticket) => Some(ticket),
                Begun::Solo(why) => {
                    inner.not_kept(label(why));
                    None
                }
                _ => None,
            }
        } else {
            // Before the cursor is taken nothing is cached (`P14`).
            inner.not_kept("shut");
            None
        };
        Self {
            inner: Arc::clone(inner),
            key: key.to_owned(),
            ticket,
            began,
        }
    }

    /// Caches the value, with its tags and its TTL, unless it was invalidated since the fill began. Whether
    /// it is cached.
    pub fn complete(mut self, value: impl Into<Loaded<V>>) -> bool {
        let flight = InFlight::new(&self.inner, self.ticket.take());
        self.inner
            .keep(&self.key, flight, self.began, value.into())
            .kept
    }
}

impl<K: Send, V: Send + Sync> Drop for Fill<K, V> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.inner.flights.abandon(ticket);
        }
    }
}

impl<K: Send, V: Send + Sync> fmt::Debug for Fill<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill")
            .field("cache", &self.inner.name)
            .finish_non_exhaustive()
    }
}
