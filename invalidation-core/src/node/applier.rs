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
    /// Applying and marking an entry happen under this one lock: marked means applied by every target. Held for
    /// as long as the targets take; never across an `.await`.
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
        for entry in entries {
            match standing {
                // The poller may have read it before the append, or the commit, returned to its caller.
                Standing::Proven(identity) => self.apply_once(entry, identity.as_ref(), "own"),
                Standing::Claimed => self.apply_again(&entry.invalidation, "own"),
            }
        }
    }

    /// Applies a frame; `false` when part of it was refused.
    pub(super) fn apply_frame(&self, carried: &[Carried], sender: Sender) -> bool {
        let mut all = true;
        for Carried { entry, standing } in carried {
            match standing {
                Standing::Claimed if !self.has_log => {
                    observe::dropped("claimed_without_log");
                    all = false;
                }
                Standing::Proven(identity) if sender == Sender::Authenticated => {
                    self.apply_once(entry, identity.as_ref(), "frame");
                }
                // Not to be believed: applied each time, never marked.
                Standing::Claimed | Standing::Proven(_) => {
                    self.apply_again(&entry.invalidation, "frame");
                }
            }
        }
        all
    }

    /// Applies a page of the log: everything that is not known to be applied.
    pub(super) fn apply_page(&self, entries: &[LoggedEntry]) {
        for LoggedEntry { position, payload } in entries {
            match payload {
                Payload::Entry(entry) => self.apply_once(entry, Some(&position.identity), "log"),
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
        }
    }

    /// Applies an entry unless every target has applied it already.
    ///
    /// The lock is taken anew for each entry, so that a commit does not wait behind a whole page (`P16`).
    fn apply_once(&self, entry: &Entry, identity: Option<&LogIdentity>, source: &'static str) {
        let hash = entry.hash();
        let mut applied = self.applied.lock();
        if let Some(since) = applied.marked_at(identity, hash) {
            observe::skipped(source);
            if source == "log" {
                observe::safety_net_lag(self.clock.now().since(since));
            }
            return;
        }
        self.apply(&entry.invalidation);
        applied.mark(identity.cloned(), hash, self.clock.now());
        observe::applied(source);
    }

    fn apply_again(&self, invalidation: &Invalidation, source: &'static str) {
        self.apply(invalidation);
        observe::applied(source);
    }

    /// Drops everything that any target holds.
    pub(super) fn flush(&self, reason: &'static str) {
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
