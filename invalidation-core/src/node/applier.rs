//! Where invalidations meet the targets of this node, whichever way they came.

use parking_lot::Mutex;

use super::{applied::AppliedSet, registry::Registry};
use crate::{
    clock::NodeClock,
    frame::{Carried, Standing},
    observe,
    transport::Sender,
    words::{CacheName, Entry, GapReason, Invalidation, LogIdentity, LoggedEntry, Payload, Scope},
};

/// Applies to every target, and remembers what need not be applied again.
///
/// An entry is skipped only if it was applied by every target before, as the same record of the same
/// incarnation of the log, and was *proven*: committed before it was sent (`P8`). A frame that overtook its
/// commit let somebody reload the old value; the log entry is what mends it.
pub(super) struct Applier {
    clock: NodeClock,
    pub(super) registry: Registry,
    /// Applying and marking happen under this one lock: marked means applied by every target. Held for as
    /// long as the targets take; never across an `.await`.
    applied: Mutex<AppliedSet>,
    /// Without a log a claimed frame is refused, since nothing would mend it.
    has_log: bool,
}

impl Applier {
    pub(super) fn new(clock: NodeClock, has_log: bool, remembered: usize) -> Self {
        Self {
            clock,
            registry: Registry::default(),
            applied: Mutex::new(AppliedSet::new(remembered)),
            has_log,
        }
    }

    /// Applies what this node itself invalidated: under `identity` when the log has it.
    pub(super) fn apply_own(&self, entries: &[Entry], standing: &Standing) {
        let mut applied = self.applied.lock();
        let mut count = 0;
        for entry in entries {
            if let Standing::Proven(identity) = standing {
                let hash = entry.hash();
                // The poller may have read it before the append, or the commit, returned to its caller.
                if applied.marked_at(identity.as_ref(), hash).is_some() {
                    observe::skipped("own");
                    continue;
                }
                self.apply(&entry.invalidation);
                applied.mark(identity.clone(), hash, self.clock.now());
            } else {
                self.apply(&entry.invalidation);
            }
            count += 1;
        }
        observe::applied("own", count);
    }

    /// Applies a frame.
    pub(super) fn apply_frame(&self, carried: &[Carried], sender: Sender) {
        let mut applied = self.applied.lock();
        let mut count = 0;
        for Carried { entry, standing } in carried {
            let identity = match (standing, self.has_log) {
                (Standing::Claimed, false) => {
                    observe::dropped("claimed_without_log");
                    continue;
                }
                (Standing::Claimed, true) => None,
                (Standing::Proven(identity), _) if sender == Sender::Authenticated => {
                    Some(identity)
                }
                (Standing::Proven(_), _) => None,
            };
            match identity {
                // Not to be believed: applied each time, never marked.
                None => self.apply(&entry.invalidation),
                Some(identity) => {
                    let hash = entry.hash();
                    if applied.marked_at(identity.as_ref(), hash).is_some() {
                        observe::skipped("frame");
                        continue;
                    }
                    self.apply(&entry.invalidation);
                    applied.mark(identity.clone(), hash, self.clock.now());
                }
            }
            count += 1;
        }
        observe::applied("frame", count);
    }

    /// Applies a page of the log: everything that is not known to be applied.
    pub(super) fn apply_page(&self, entries: &[LoggedEntry]) {
        let mut applied = self.applied.lock();
        let mut count = 0;
        for LoggedEntry { position, payload } in entries {
            match payload {
                Payload::Entry(entry) => {
                    let identity: Option<&LogIdentity> = Some(&position.identity);
                    let hash = entry.hash();
                    if let Some(since) = applied.marked_at(identity, hash) {
                        observe::skipped("log");
                        observe::safety_net_lag(self.clock.now().since(since));
                        continue;
                    }
                    self.apply(&entry.invalidation);
                    applied.mark(identity.cloned(), hash, self.clock.now());
                }
                // An entry that cannot be read flushes what it may have meant (P12).
                Payload::Undecodable { cache, why } => {
                    tracing::warn!(?cache, %why, "a log entry could not be decoded; it widens");
                    observe::widened("undecodable_entry");
                    match cache {
                        Some(cache) => self.registry.apply(cache, &Scope::All),
                        None => self.registry.flush_all(),
                    }
                }
            }
            count += 1;
        }
        observe::applied("log", count);
    }

    /// Drops everything that any target holds.
    pub(super) fn flush(&self, reason: &'static str) {
        let _applying = self.applied.lock();
        self.registry.flush_all();
        observe::flush(reason);
    }

    pub(super) fn flush_for_gap(&self, reason: GapReason) {
        self.flush(reason.as_str());
    }

    pub(super) fn forget(&self, name: &CacheName) {
        self.registry.remove(name);
    }

    fn apply(&self, invalidation: &Invalidation) {
        match invalidation {
            Invalidation::Everything => self.registry.flush_all(),
            Invalidation::Cache { cache, scope } => self.registry.apply(cache, scope),
        }
    }
}
