//! The targets of a node, by name.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::RwLock;

use super::quarantine::{OpenTransactions, Quarantine};
use crate::{
    error::{Error, ErrorKind},
    observe,
    target::InvalidationTarget,
    words::{CacheName, Entry, Scope},
};

/// The targets of a node, by name. Only applies; who may skip what is the applier's business.
#[derive(Default)]
pub(super) struct Registry {
    /// Guards the map; held for reading while an invalidation is applied, never across an `.await`.
    targets: RwLock<HashMap<CacheName, Registered>>,
    open: OpenTransactions,
}

struct Registered {
    target: Held,
    /// Whether its handles are still there; `None` for a target that the node holds.
    claim: Option<Weak<()>>,
    max_staleness: Option<Duration>,
}

impl Registered {
    fn is_claimed(&self) -> bool {
        self.claim
            .as_ref()
            .is_none_or(|claim| claim.strong_count() > 0)
    }
}

/// A name on this node, for as long as any clone of this lives: the handles of a cache hold it. Not the cache
/// itself, which a sweep may keep alive for a moment longer.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameClaim(Arc<()>);

/// A cache belongs to whoever holds its handles; its name is free again when the last is gone. An attached
/// target belongs to the node.
#[derive(Clone)]
pub(super) enum Held {
    Cache(Weak<dyn InvalidationTarget>),
    Attached(Arc<dyn InvalidationTarget>),
}

impl Held {
    /// `None` for a cache that is gone.
    pub(super) fn alive(&self) -> Option<Arc<dyn InvalidationTarget>> {
        match self {
            Self::Cache(target) => target.upgrade(),
            Self::Attached(target) => Some(target.clone()),
        }
    }

    /// Whether `other` is the same target.
    pub(super) fn is(&self, other: &Self) -> bool {
        let address = |held: &Self| match held {
            Self::Cache(target) => target.as_ptr().cast::<()>(),
            Self::Attached(target) => Arc::as_ptr(target).cast(),
        };
        address(self) == address(other)
    }
}

impl Registry {
    /// Adds a cache, which the registry does not keep alive; its name is taken while the claim lives.
    pub(super) fn add_cache(
        &self,
        name: &CacheName,
        target: &Arc<dyn InvalidationTarget>,
        max_staleness: Option<Duration>,
    ) -> Result<NameClaim, Error> {
        let claim = NameClaim::default();
        let registered = Registered {
            target: Held::Cache(Arc::downgrade(target)),
            claim: Some(Arc::downgrade(&claim.0)),
            max_staleness,
        };
        self.add(name, registered)?;
        Ok(claim)
    }

    /// Adds a target of another library, until it is removed, and flushes it (`P14`).
    pub(super) fn add_attached(
        &self,
        name: &CacheName,
        target: Arc<dyn InvalidationTarget>,
        max_staleness: Option<Duration>,
    ) -> Result<(), Error> {
        let registered = Registered {
            target: Held::Attached(target.clone()),
            claim: None,
            max_staleness,
        };
        self.add(name, registered)?;
        flush_one(name, &*target);
        Ok(())
    }

    fn add(&self, name: &CacheName, registered: Registered) -> Result<(), Error> {
        let target = registered.target.clone();
        let mut targets = self.targets.write();
        if targets.get(name).is_some_and(Registered::is_claimed) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "node",
                "register",
                format!(
                    "the cache name {name:?} is taken on this node: clone the cache, or choose another name"
                ),
            ));
        }
        targets.insert(name.clone(), registered);
        drop(targets);
        self.open.extend_to(name, &target);
        Ok(())
    }

    pub(super) fn remove(&self, name: &CacheName) {
        self.targets.write().remove(name);
    }

    /// The smallest `max_staleness` above zero of all targets.
    pub(super) fn tightest(&self) -> Option<Duration> {
        let targets = self.targets.read();
        targets
            .values()
            .filter(|registered| registered.target.alive().is_some())
            .filter_map(|registered| registered.max_staleness)
            .filter(|limit| !limit.is_zero())
            .min()
    }

    /// Applies to one cache. A name that no target has is counted and ignored (`P12`).
    pub(super) fn apply(&self, name: &CacheName, scope: &Scope) {
        match self.find(name) {
            Some(target) => apply_one(name, &*target, scope),
            None => observe::skipped("unknown_cache"),
        }
    }

    pub(super) fn flush_all(&self) {
        for (name, target) in self.all() {
            flush_one(&name, &*target);
        }
    }

    pub(super) fn find(&self, name: &CacheName) -> Option<Arc<dyn InvalidationTarget>> {
        self.targets
            .read()
            .get(name)
            .and_then(|registered| registered.target.alive())
    }

    /// A transaction that will invalidate `entries` is open: quarantines them here, and in every target that
    /// is registered before it ends.
    pub(super) fn quarantine(&self, entries: &[Entry]) -> Arc<Quarantine> {
        let quarantine = self.open.open(entries);
        let targets: Vec<_> = {
            let targets = self.targets.read();
            let held = |(name, registered): (&CacheName, &Registered)| {
                (name.clone(), registered.target.clone())
            };
            targets.iter().map(held).collect()
        };
        for (name, target) in targets {
            quarantine.extend_to(&name, &target);
        }
        quarantine
    }

    /// Every living target; forgets the dead.
    pub(super) fn all(&self) -> Vec<(CacheName, Arc<dyn InvalidationTarget>)> {
        let mut dead = false;
        let alive = {
            let targets = self.targets.read();
            let alive = targets.iter().filter_map(|(name, registered)| {
                let target = registered.target.alive();
                dead |= target.is_none();
                Some((name.clone(), target?))
            });
            alive.collect()
        };
        if dead {
            self.targets
                .write()
                .retain(|_, registered| registered.target.alive().is_some());
        }
        alive
    }
}

/// A target that fails or panics is flushed whole, and blocks no other (`P9`).
fn apply_one(name: &CacheName, target: &dyn InvalidationTarget, scope: &Scope) {
    let failure = match catch_unwind(AssertUnwindSafe(|| target.apply(scope))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => {
            tracing::error!(cache = %name, %error, "a target failed");
            "error"
        }
        Err(_) => "panic",
    };
    observe::target_failed(name, failure);
    flush_one(name, target);
}

fn flush_one(name: &CacheName, target: &dyn InvalidationTarget) {
    if catch_unwind(AssertUnwindSafe(|| target.flush())).is_err() {
        observe::target_failed(name, "flush_panic");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::error::BoxError;

    /// Fails, or panics.
    #[derive(Default)]
    struct Failing {
        panics: bool,
        flushes: AtomicU64,
    }

    impl InvalidationTarget for Failing {
        fn apply(&self, _scope: &Scope) -> Result<(), BoxError> {
            assert!(!self.panics, "as told");
            Err("as told".into())
        }

        fn flush(&self) {
            self.flushes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A sweep holds a cache for a moment after its last handle is gone, and then its name is free all the same.
    #[test]
    fn a_name_is_free_when_the_last_handle_is_gone() {
        let registry = Registry::default();
        let name = CacheName::new("users").expect("a good name");
        let swept: Arc<dyn InvalidationTarget> = Arc::new(Failing::default());
        let claim = registry.add_cache(&name, &swept, None).expect("free");
        let clone = claim.clone();
        drop(claim);
        let next: Arc<dyn InvalidationTarget> = Arc::new(Failing::default());
        let taken = registry.add_cache(&name, &next, None);
        assert!(taken.is_err_and(|error| error.to_string().contains("taken")));
        drop(clone);
        let _claim = registry.add_cache(&name, &next, None).expect("free again");
        let found = registry.find(&name).expect("registered");
        assert!(Arc::ptr_eq(&found, &next));
        drop(swept);
    }

    /// P9: a target that fails or panics is flushed whole, whatever its scope was.
    #[test]
    fn p9_a_failing_target_is_flushed() {
        for panics in [false, true] {
            let target = Failing {
                panics,
                ..Failing::default()
            };
            let name = CacheName::new("failing").expect("a good name");
            apply_one(&name, &target, &Scope::keys(["1"]));
            assert_eq!(target.flushes.load(Ordering::SeqCst), 1);
        }
    }
}
