//! What becomes of what it holds when something is invalidated.

use std::time::Duration;

use invalidation_conformance::{Freshness, Row};
use invalidation_core::{Entry, Invalidation, Scope};
use tokio::time::sleep;

use super::{Mistake, Shared, Stored};

impl Shared {
    pub(super) fn apply(&self, what: &Invalidation, fences: bool) {
        match what {
            Invalidation::Everything => {
                self.flush(fences && !self.makes(Mistake::FlushDoesNotFence));
            }
            Invalidation::Cache { cache, scope } => {
                let own = Freshness::ALL.into_iter().find(|own| own.cache() == *cache);
                match own {
                    Some(freshness) => self.apply_to(freshness, scope, fences),
                    None if self.makes(Mistake::UnknownMeansAll) => self.flush(true),
                    None => {}
                }
            }
        }
    }

    fn apply_to(&self, freshness: Freshness, scope: &Scope, fences: bool) {
        let mut state = self.state.lock();
        state.sequence += 1;
        let now = state.sequence;
        let of = |at: &(Freshness, String)| at.0 == freshness;
        match scope {
            Scope::Keys(keys) => {
                for key in keys.iter() {
                    let at = (freshness, key.to_string());
                    state.entries.remove(&at);
                    if fences {
                        state.keys.insert(at, now);
                    }
                }
            }
            Scope::Tags(tags) if !self.makes(Mistake::TagsWiden) => {
                let has_one = |row: &Row| row.tags.iter().any(|tag| tags.contains(&(**tag).into()));
                let kept = |at: &_, stored: &mut Stored| !(of(at) && has_one(&stored.row));
                state.entries.retain(kept);
                if fences {
                    for tag in tags.iter() {
                        state.tags.insert((freshness, tag.to_string()), now);
                    }
                }
            }
            Scope::Tags(_) | Scope::All => {
                state.entries.retain(|at, _| !of(at));
                if fences && !self.makes(Mistake::NoFenceByClear) {
                    state.all.insert(freshness, now);
                }
            }
        }
    }

    pub(super) fn flush(&self, fences: bool) {
        let mut state = self.state.lock();
        state.entries.clear();
        if fences {
            state.sequence += 1;
            let now = state.sequence;
            for freshness in Freshness::ALL {
                state.all.insert(freshness, now);
            }
        }
    }

    /// Applies an entry that is known to be committed, unless it was applied before.
    pub(super) async fn apply_once(&self, entry: &Entry, by_log: bool) {
        let fences = !(by_log && self.makes(Mistake::LogDoesNotFence));
        if self.makes(Mistake::MarksBeforeApplying) {
            if self.applying.lock().await.insert(entry.hash()) {
                sleep(Duration::from_millis(15)).await;
                self.apply(&entry.invalidation, fences);
            }
            return;
        }
        let mut applied = self.applying.lock().await;
        if !applied.contains(&entry.hash()) || self.makes(Mistake::AppliesAgain) {
            self.apply(&entry.invalidation, fences);
            applied.insert(entry.hash());
        }
    }
}
