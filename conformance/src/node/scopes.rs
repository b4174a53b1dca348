//! What is invalidated, in every cache of the nodes under test.

use invalidation_core::{CacheName, Invalidation, Scope};

use super::{rows::tag_of, under_test::Freshness};

/// The key in every cache.
pub(crate) fn of_key(key: &str) -> Vec<Invalidation> {
    in_every_cache(&Scope::keys([key]))
}

/// The row's tag in every cache.
pub(crate) fn of_tag(key: &str) -> Vec<Invalidation> {
    in_every_cache(&Scope::tags([tag_of(key)]))
}

/// All of every cache, one by one.
pub(crate) fn of_all() -> Vec<Invalidation> {
    in_every_cache(&Scope::All)
}

fn in_every_cache(scope: &Scope) -> Vec<Invalidation> {
    let cache = |freshness: Freshness| in_cache(freshness.cache(), scope.clone());
    Freshness::ALL.into_iter().map(cache).collect()
}

pub(crate) const fn in_cache(cache: CacheName, scope: Scope) -> Invalidation {
    Invalidation::Cache { cache, scope }
}
