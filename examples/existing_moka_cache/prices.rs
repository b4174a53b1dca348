//! A cache of moka's, as many a service has one, and the three lines that keep it coherent.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cache_invalidation::{Attachment, BoxError, CacheKey, Fence, InvalidationTarget, Node, Scope};
use moka::future::Cache;
use tokio::runtime::Handle;

/// The name under which every node invalidates it.
pub(crate) const NAME: &str = "prices";

/// Prices in cents by the number of the article.
#[derive(Debug)]
pub(crate) struct Prices {
    cached: Cached,
    /// Gives the lease; dropping it detaches the cache.
    attachment: Attachment,
}

/// What both the readers and the node work on.
#[derive(Debug, Clone)]
struct Cached {
    cache: Cache<u64, Arc<Entry>>,
    fence: Fence<u64>,
    /// moka's methods are async, and the node's are not.
    runtime: Handle,
}

/// A value goes into moka *before* the fence says whether it may stay there, since inserting into
/// `moka::future` may wait and the fence must not. Until then it is no hit.
#[derive(Debug)]
struct Entry {
    cents: u64,
    kept: AtomicBool,
}

impl Prices {
    /// Attaches a cache to `node`, which flushes it now, and from now on drops what any node invalidates.
    pub(crate) fn attach(
        node: &Node,
        max_staleness: std::time::Duration,
    ) -> Result<Self, cache_invalidation::Error> {
        let cached = Cached {
            cache: Cache::builder()
                .max_capacity(10_000)
                // From the load: moka's `time_to_idle` would keep a stale hot entry for ever.
                .time_to_live(std::time::Duration::from_secs(60))
                .build(),
            fence: Fence::new(),
            runtime: Handle::current(),
        };
        let attachment = node.attach(NAME, Arc::new(cached.clone()), Some(max_staleness))?;
        Ok(Self { cached, attachment })
    }

    /// The price, from the cache where it may serve, or else from `load`.
    pub(crate) async fn get(&self, article: u64, load: impl Future<Output = u64>) -> u64 {
        // 1. The lease before the lookup: is anything in the cache fresh enough to be served (`P3`)?
        if self.attachment.lease().wait().await.is_err() {
            return load.await;
        }
        let Cached { cache, fence, .. } = &self.cached;
        if let Some(entry) = cache.get(&article).await
            && entry.kept.load(Ordering::Acquire)
        {
            return entry.cents;
        }
        // 2. The ticket before the load: it remembers whether an invalidation came in between (`P5`).
        let ticket = fence.begin(&article);
        let entry = Arc::new(Entry {
            cents: load.await,
            kept: AtomicBool::new(false),
        });
        cache.insert(article, entry.clone()).await;
        // 3. Kept only if nothing came.
        ticket.commit(|| entry.kept.store(true, Ordering::Release));
        entry.cents
    }

    /// Whether a price is cached, without loading it.
    pub(crate) async fn holds(&self, article: u64) -> bool {
        let entry = self.cached.cache.get(&article).await;
        entry.is_some_and(|entry| entry.kept.load(Ordering::Acquire))
    }
}

/// What the node does to it. It calls on a thread of its own, so that waiting for moka stops nobody else.
impl InvalidationTarget for Cached {
    fn apply(&self, scope: &Scope) -> Result<(), BoxError> {
        match scope {
            Scope::Keys(keys) => {
                for key in &**keys {
                    // A text that is no key of ours makes the node flush everything: never skip what cannot be read.
                    let article = u64::from_text(key)?;
                    // First no load in flight can be kept, then what was kept goes.
                    self.fence.invalidate(&article, || ());
                    self.runtime.block_on(self.cache.invalidate(&article));
                }
            }
            // This cache knows no tags.
            Scope::Tags(_) | Scope::All => self.flush(),
        }
        Ok(())
    }

    fn flush(&self) {
        self.fence.invalidate_all(|| self.cache.invalidate_all());
    }

    // A transaction on this node that is not committed yet: a load could read its rows, which may never be.
    fn quarantine(&self, scope: &Scope) {
        match keys(scope) {
            Some(articles) => articles
                .iter()
                .for_each(|article| self.fence.quarantine(article)),
            None => self.fence.quarantine_all(),
        }
    }

    fn release(&self, scope: &Scope) {
        match keys(scope) {
            Some(articles) => articles
                .iter()
                .for_each(|article| self.fence.release(article)),
            None => self.fence.release_all(),
        }
    }
}

/// `None` for whatever concerns more than keys that can be read.
fn keys(scope: &Scope) -> Option<Vec<u64>> {
    match scope {
        Scope::Keys(keys) => keys.iter().map(|key| u64::from_text(key).ok()).collect(),
        Scope::Tags(_) | Scope::All => None,
    }
}
