//! What a cache says to the cluster.

use std::hash::Hash;

use super::Cache;
use crate::{
    error::Error,
    log::{InvalidationLog, JoinsLog},
    node::{Changes, KeyText, Pending, Receipt},
    words::{CacheKey, Text},
};

impl<K, V> Cache<K, V>
where
    K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Invalidates one key on every node: for a write that was committed before. Reads that fill a cache
    /// never broadcast; only this and its siblings do.
    ///
    /// When it returns `Ok`, the invalidation is in the log, and this node no longer serves the old value
    /// (`P6`). Cancel-safe: see [`Changes::publish`].
    ///
    /// # Errors
    /// As [`Changes::publish`].
    pub async fn invalidate<Q: KeyText<K> + ?Sized>(&self, key: &Q) -> Result<Receipt, Error> {
        self.changes().keys(self, [key]).publish().await
    }

    /// Invalidates several keys as one step. More than 100,000 widen to the whole cache.
    ///
    /// # Errors
    /// As [`Changes::publish`].
    pub async fn invalidate_many<'k, Q: KeyText<K> + ?Sized + 'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Q>,
    ) -> Result<Receipt, Error> {
        self.changes().keys(self, keys).publish().await
    }

    /// Invalidates every entry that carries `tag`. After a change of a row, invalidate the tags of the old
    /// row and of the new one.
    ///
    /// # Errors
    /// As [`Changes::publish`].
    pub async fn invalidate_tag(&self, tag: impl Into<Text>) -> Result<Receipt, Error> {
        self.changes().tags(self, [tag]).publish().await
    }

    /// Invalidates all of this cache on every node.
    ///
    /// # Errors
    /// As [`Changes::publish`].
    pub async fn clear(&self) -> Result<Receipt, Error> {
        self.changes().clear(self).publish().await
    }

    /// Invalidates keys inside the caller's transaction (`P2`); the log's type follows from the
    /// transaction's. Finish with [`Pending::commit`].
    ///
    /// # Errors
    /// As [`Changes::log_in`].
    pub async fn invalidate_in<'k, L, T, Q>(
        &self,
        transaction: &mut T,
        keys: impl IntoIterator<Item = &'k Q>,
    ) -> Result<Pending, Error>
    where
        L: InvalidationLog,
        T: JoinsLog<L> + ?Sized,
        Q: KeyText<K> + ?Sized + 'k,
    {
        self.changes().keys(self, keys).log_in(transaction).await
    }

    fn changes(&self) -> Changes {
        let publisher = self.inner().publisher.clone();
        Changes::new(publisher.expect("only a node builds caches for others, and it names itself"))
    }
}
