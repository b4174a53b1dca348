//! What a test may break in a memory log.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{log::Shared, store::Store, switch::FaultSwitch};
use crate::words::CacheName;

/// What a test may break in one handle of a [`MemoryLog`](super::MemoryLog) and its clones. The methods that
/// change entries concern all handles.
#[derive(Clone)]
pub struct LogFaults(Arc<FaultState>);

/// What the log held at some time, to [restore](LogFaults::restore) later.
#[derive(Clone)]
pub struct MemorySnapshot(Store);

pub(super) struct FaultState {
    shared: Arc<Shared>,
    installs: FaultSwitch,
    heads: FaultSwitch,
    appends: FaultSwitch,
    reads: FaultSwitch,
    purges: FaultSwitch,
    commits: FaultSwitch,
    page_cap: AtomicUsize,
    incomplete: AtomicBool,
}

impl LogFaults {
    pub(super) const fn new(state: Arc<FaultState>) -> Self {
        Self(state)
    }

    /// Calls of `install`.
    pub fn installs(&self) -> &FaultSwitch {
        self.0.installs()
    }

    /// Calls of `head`.
    pub fn heads(&self) -> &FaultSwitch {
        self.0.heads()
    }

    /// Calls of `append` and of `append_in`.
    pub fn appends(&self) -> &FaultSwitch {
        self.0.appends()
    }

    /// Calls of `read`. A long poll hangs before it looks; it is `finished` when its wait is over.
    pub fn reads(&self) -> &FaultSwitch {
        self.0.reads()
    }

    /// Calls of `purge`.
    pub fn purges(&self) -> &FaultSwitch {
        self.0.purges()
    }

    /// Calls of [`MemoryTransaction::commit`](super::MemoryTransaction::commit).
    pub fn commits(&self) -> &FaultSwitch {
        self.0.commits()
    }

    /// Pages hold at most `entries`, at least one, whatever a reader asks for; `None` lifts it.
    pub fn cap_pages(&self, entries: Option<usize>) {
        let cap = entries.unwrap_or(usize::MAX);
        self.0.page_cap.store(cap, Ordering::SeqCst);
    }

    /// While `true`, no page says that it is complete.
    pub fn hold_back_completeness(&self, hold: bool) {
        self.0.incomplete.store(hold, Ordering::SeqCst);
    }

    /// Puts an empty log in its place: new identity, ids from 1.
    pub fn recreate(&self) {
        self.replace(Store::recreated);
    }

    /// What the log holds now.
    pub fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.0.shared.store.lock().clone())
    }

    /// Puts an older state back under the same identity, as when a file is copied back: ids go on from
    /// there, and are used again.
    pub fn restore(&self, snapshot: &MemorySnapshot) {
        self.replace(|present| snapshot.0.restored_over(present));
    }

    /// Forgets all but the newest `keep` entries, at least one, as a log over its capacity does.
    pub fn trim(&self, keep: usize) {
        self.0.shared.store.lock().trim(keep);
    }

    /// Appends a record that no version can decode. `cache` is the part of it that still can.
    pub fn inject_undecodable(&self, cache: Option<CacheName>) {
        let shared = &self.0.shared;
        shared
            .store
            .lock()
            .append_undecodable(cache, "injected by a test".to_owned());
        shared.appended.notify_waiters();
    }

    fn replace(&self, make: impl FnOnce(&Store) -> Store) {
        let mut store = self.0.shared.store.lock();
        *store = make(&store);
        drop(store);
        self.0.shared.appended.notify_waiters();
    }
}

impl FaultState {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let switch = |operation| FaultSwitch::new("memory", operation);
        Self {
            shared,
            installs: switch("install"),
            heads: switch("head"),
            appends: switch("append"),
            reads: switch("read"),
            purges: switch("purge"),
            commits: switch("commit"),
            page_cap: AtomicUsize::new(usize::MAX),
            incomplete: AtomicBool::new(false),
        }
    }

    pub(super) const fn installs(&self) -> &FaultSwitch {
        &self.installs
    }

    pub(super) const fn heads(&self) -> &FaultSwitch {
        &self.heads
    }

    pub(super) const fn appends(&self) -> &FaultSwitch {
        &self.appends
    }

    pub(super) const fn reads(&self) -> &FaultSwitch {
        &self.reads
    }

    pub(super) const fn purges(&self) -> &FaultSwitch {
        &self.purges
    }

    pub(super) const fn commits(&self) -> &FaultSwitch {
        &self.commits
    }

    pub(super) fn page_cap(&self) -> usize {
        self.page_cap.load(Ordering::SeqCst)
    }

    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for LogFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFaults")
            .field("heads", &self.0.heads)
            .field("appends", &self.0.appends)
            .field("reads", &self.0.reads)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySnapshot")
            .field("identity", &self.0.identity())
            .field("entries", &self.0.len())
            .finish_non_exhaustive()
    }
}
