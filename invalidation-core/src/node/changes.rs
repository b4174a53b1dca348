//! Several invalidations as one step.

use std::{borrow::Cow, hash::Hash, sync::Arc};

use super::{pending::Pending, receipt::Receipt, shared::Shared, two_step::TwoStep};
use crate::{
    cache::Cache,
    error::{Error, ErrorKind},
    log::{InvalidationLog, JoinsLog, LogStatement},
    observe,
    words::{CacheKey, CacheName, Entry, Invalidation, Scope, Text},
};

/// Keys or tags to one entry: a longer list becomes several entries.
const ITEMS_PER_ENTRY: usize = 1_000;
/// A list longer than this widens to its whole cache.
const ITEMS_PER_CHANGE: usize = 100_000;

/// Invalidations of any number of caches that are logged in one statement.
///
/// ```text
/// node.changes().keys(&users, [&id]).clear(&roles).publish().await?;
/// ```
#[must_use = "nothing happens until `publish`, `log_in`, `statement` or `in_two_steps`"]
pub struct Changes {
    shared: Arc<Shared>,
    invalidations: Vec<Invalidation>,
    want_ack: bool,
}

impl Changes {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            invalidations: Vec::new(),
            want_ack: false,
        }
    }

    /// These keys of `cache`.
    pub fn keys<'k, K, V, Q>(
        self,
        cache: &Cache<K, V>,
        keys: impl IntoIterator<Item = &'k Q>,
    ) -> Self
    where
        K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        Q: KeyText<K> + ?Sized + 'k,
    {
        let keys = keys
            .into_iter()
            .map(|key| Text::from(key.key_text()))
            .collect::<Vec<_>>();
        self.scope(cache.name().clone(), Scope::Keys(keys.into()))
    }

    /// The entries of `cache` that carry any of these tags. After a change of a row, name the tags of the
    /// old row and of the new one.
    pub fn tags<K, V>(
        self,
        cache: &Cache<K, V>,
        tags: impl IntoIterator<Item = impl Into<Text>>,
    ) -> Self
    where
        K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        self.scope(cache.name().clone(), Scope::tags(tags))
    }

    /// All of `cache`.
    pub fn clear<K, V>(self, cache: &Cache<K, V>) -> Self
    where
        K: CacheKey + Eq + Hash + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        self.scope(cache.name().clone(), Scope::All)
    }

    /// Part of a cache that is known by name alone: an attached one, or one of other nodes.
    pub fn scope(mut self, cache: CacheName, scope: Scope) -> Self {
        let split = |items: &Arc<[Text]>, make: fn(Arc<[Text]>) -> Scope| {
            items
                .chunks(ITEMS_PER_ENTRY)
                .map(|chunk| make(chunk.into()))
                .collect::<Vec<_>>()
        };
        let scopes = match &scope {
            Scope::Keys(items) | Scope::Tags(items) if items.len() > ITEMS_PER_CHANGE => {
                observe::widened("bulk_change");
                vec![Scope::All]
            }
            Scope::Keys(items) => split(items, Scope::Keys),
            Scope::Tags(items) => split(items, Scope::Tags),
            Scope::All => vec![Scope::All],
        };
        let invalidations = scopes.into_iter().map(|scope| Invalidation::Cache {
            cache: cache.clone(),
            scope,
        });
        self.invalidations.extend(invalidations);
        self
    }

    /// Every cache of the cluster.
    pub fn everything(mut self) -> Self {
        self.invalidations.push(Invalidation::Everything);
        self
    }

    /// Asks the peers to tell when they have applied it, where the transport can.
    pub const fn acknowledged(mut self) -> Self {
        self.want_ack = true;
        self
    }

    /// Outside a transaction, after the write was committed: appends to the log, applies here, publishes.
    /// When it returns `Ok`, the entries are in the log and this node no longer serves the old values
    /// (`P6`).
    ///
    /// Cancel-safe: dropped while the append is under way, its outcome is unknown, and the entries are
    /// applied here and published as claimed.
    ///
    /// # Errors
    /// When the append failed. The entries were then applied here and published all the same, but nodes that
    /// the fast path does not reach are only bounded by TTL: try again.
    pub async fn publish(self) -> Result<Receipt, Error> {
        let entries = self.entries();
        self.shared.log_and_spread(&entries, self.want_ack).await
    }

    /// Appends to the log inside the caller's transaction (`P2`). Finish with [`Pending::commit`].
    ///
    /// # Errors
    /// When the node has no log, when its log is not the one `T` joins, when the transaction is on another
    /// database, or when the driver fails: roll back then.
    pub async fn log_in<L, T>(self, transaction: &mut T) -> Result<Pending, Error>
    where
        L: InvalidationLog,
        T: JoinsLog<L> + ?Sized,
    {
        self.shared.check_open("log_in")?;
        let shared = self.shared.clone();
        let refuse =
            |message: Cow<'static, str>| Error::new(ErrorKind::Invalid, "node", "log_in", message);
        let log = shared.log.as_ref().ok_or_else(|| {
            refuse("this node has no log: give it one, or use `publish` after the commit".into())
        })?;
        let log = log.joinable().and_then(|log| log.downcast_ref::<L>()).ok_or_else(|| {
            refuse(
                format!(
                    "the node's log is {:?}, which this transaction cannot join: use a transaction on the log's database",
                    log.capabilities().name
                )
                .into(),
            )
        })?;
        // Opened first, so that no load can read and keep the transaction's rows while it is appended.
        let mut pending = Pending::open(self.shared.clone(), self.entries());
        match transaction.append_in(log, pending.entries()).await {
            Ok(positions) => {
                pending.appended(positions);
                Ok(pending)
            }
            Err(error) => Err(error), // Dropping `pending` applies and publishes a claim.
        }
    }

    /// SQL and parameter to run in a transaction of any driver on the log's database, and the [`Pending`] to
    /// finish it with.
    ///
    /// # Errors
    /// When the node's log has no such statement.
    pub fn statement(self) -> Result<(LogStatement, Pending), Error> {
        self.shared.check_open("statement")?;
        let entries = self.entries();
        let statement = self
            .shared
            .log
            .as_ref()
            .and_then(|log| log.statement(&entries))
            .ok_or_else(|| {
                let message = "the node's log has no statement that joins a transaction";
                Error::new(ErrorKind::Unsupported, "node", "statement", message)
            })?;
        Ok((statement, Pending::open(self.shared.clone(), entries)))
    }

    /// In two steps, for a write in a database that the node's log cannot join: from now on this node fills no entry that
    /// is covered, and [`TwoStep::commit`] appends after the commit. Begin it before the commit; what it does not
    /// promise stands with [`TwoStep`].
    ///
    /// ```text
    /// let change = node.changes().keys(&users, [&id]).in_two_steps()?;
    /// change.commit(tx.commit()).await?;
    /// ```
    ///
    /// # Errors
    /// When the node was shut down.
    pub fn in_two_steps(self) -> Result<TwoStep, Error> {
        TwoStep::open(self.shared.clone(), self.entries(), self.want_ack)
    }

    fn entries(&self) -> Vec<Entry> {
        self.invalidations.iter().cloned().map(Entry::new).collect()
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes")
            .field("invalidations", &self.invalidations)
            .finish_non_exhaustive()
    }
}

/// What can stand for a key of type `K`: the key itself, or a `str` for the string types.
pub trait KeyText<K> {
    /// The text of the key.
    fn key_text(&self) -> Cow<'_, str>;
}

impl<K: CacheKey> KeyText<K> for K {
    fn key_text(&self) -> Cow<'_, str> {
        self.to_text()
    }
}

macro_rules! text_is_its_own_key {
    ($($owned:ty),*) => {$(
        impl KeyText<$owned> for str {
            fn key_text(&self) -> Cow<'_, str> {
                Cow::Borrowed(self)
            }
        }
    )*};
}

text_is_its_own_key!(String, Box<str>, Arc<str>);
