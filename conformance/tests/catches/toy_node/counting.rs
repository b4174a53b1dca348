//! What it tells of what happens to it.

use super::{Mistake, Shared};

pub(super) const FLUSHES: &str = "cache_invalidation_flushes_total";
pub(super) const GAPS: &str = "cache_invalidation_gaps_total";
pub(super) const WIDENED: &str = "cache_invalidation_widened_total";
pub(super) const DROPPED: &str = "cache_invalidation_dropped_total";
pub(super) const LAPSES: &str = "cache_invalidation_lease_lapses_total";

impl Shared {
    pub(super) fn count(&self, name: &'static str, reason: &'static str) {
        if self.mistake != Mistake::CountsNo(name) {
            metrics::counter!(name, "reason" => reason).increment(1);
        }
    }
}
