//! The log in memory.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    log_faults::{FaultState, LogFaults},
    store::Store,
    transaction::MemoryTransaction,
};
use crate::{
    error::{Error, ErrorKind},
    log::{
        Completeness, InvalidationLog, LogCapabilities, Page, Purged, ReadConsistency, ReadRequest,
    },
    words::{Cursor, Entry, LogIdentity, Position},
};

/// The entries that a log keeps when nothing else is asked for.
const DEFAULT_CAPACITY: usize = 1_000_000;

/// A log in the memory of this process: for a service that runs on a single node, and for tests.
///
/// # Delivery semantics
/// - Entries are kept in commit order; each read sees all that was committed before it began
///   ([`ReadConsistency::Linearizable`]). A long poll ([`ReadRequest::wait`]) is woken by the next commit.
/// - Nothing outlives the process: after a restart the log is another one, and cursors of the old one
///   expire. A single node loses its cache with it, so nothing stale is left.
/// - It holds at most a number of entries (default 1,000,000); past that the oldest are purged, and cursors
///   which had not passed them expire.
/// - [`purge`](InvalidationLog::purge) measures age by this process's clock.
///
/// # Sharing
/// Clones share the entries and the faults; each is closed for itself. [`connect`](Self::connect) gives
/// another handle on the same entries with faults of its own: in a test with several nodes, one for each.
pub struct MemoryLog {
    pub(super) shared: Arc<Shared>,
    faults: Arc<FaultState>,
    closed: AtomicBool,
}

pub(super) struct Shared {
    pub(super) store: Mutex<Store>,
    pub(super) appended: Notify,
}

impl MemoryLog {
    /// An empty log of at most 1,000,000 entries, with a random identity.
    pub fn new() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// An empty log of at most `entries` entries (at least one), with a random identity.
    pub fn with_capacity(entries: usize) -> Self {
        Self::on(Arc::new(Shared {
            store: Mutex::new(Store::new(entries)),
            appended: Notify::new(),
        }))
    }

    /// Another handle on the same entries, which fails and closes for itself.
    #[must_use]
    pub fn connect(&self) -> Self {
        Self::on(Arc::clone(&self.shared))
    }

    fn on(shared: Arc<Shared>) -> Self {
        Self {
            faults: Arc::new(FaultState::new(Arc::clone(&shared))),
            shared,
            closed: AtomicBool::new(false),
        }
    }

    /// Opens a transaction. Nothing of it is in the log until it commits.
    pub fn begin(&self) -> MemoryTransaction {
        MemoryTransaction::new(self.clone())
    }

    /// What a test may break.
    pub fn faults(&self) -> LogFaults {
        LogFaults::new(Arc::clone(&self.faults))
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.shared.store.lock().len()
    }

    /// Whether it holds no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `other` is a handle on the same entries.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(super) fn switches(&self) -> &FaultState {
        &self.faults
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Closed,
                "memory",
                operation,
                "this handle of the log was closed; make another with `connect`",
            ));
        }
        Ok(())
    }

    fn next_page(&self, request: &ReadRequest<'_>) -> Page {
        let mut page = self
            .shared
            .store
            .lock()
            .page(request, self.faults.page_cap());
        if self.faults.is_incomplete()
            && let Page::Entries { complete, .. } = &mut page
        {
            *complete = Completeness::Partial;
        }
        page
    }

    async fn read_or_wait(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        let deadline = request.wait.map(|wait| Instant::now() + wait);
        loop {
            let appended = self.shared.appended.notified();
            tokio::pin!(appended);
            // Before the look, so that a commit between the two wakes it.
            appended.as_mut().enable();
            self.check_open("read")?;
            let page = self.next_page(&request);
            let nothing = matches!(&page, Page::Entries { entries, .. } if entries.is_empty());
            let Some(deadline) = deadline.filter(|_| nothing) else {
                return Ok(page);
            };
            if tokio::time::timeout_at(deadline, appended).await.is_err() {
                return Ok(page);
            }
        }
    }
}

#[async_trait]
impl InvalidationLog for MemoryLog {
    fn capabilities(&self) -> LogCapabilities {
        let mut capabilities = LogCapabilities::new("memory");
        capabilities.transactional = true;
        capabilities.reads = ReadConsistency::Linearizable;
        capabilities
    }

    async fn install(&self) -> Result<(), Error> {
        self.check_open("install")?;
        self.faults.installs().run(async { Ok(()) }).await
    }

    async fn head(&self) -> Result<Cursor, Error> {
        self.check_open("head")?;
        let head = async { Ok(self.shared.store.lock().head()) };
        self.faults.heads().run(head).await
    }

    async fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, Error> {
        self.check_open("append")?;
        let append = async {
            let positions = self.shared.store.lock().append(entries);
            self.shared.appended.notify_waiters();
            Ok(positions)
        };
        self.faults.appends().run(append).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Page, Error> {
        self.check_open("read")?;
        self.faults.reads().run(self.read_or_wait(request)).await
    }

    fn covers(&self, cursor: &Cursor, position: &Position) -> bool {
        self.shared.store.lock().covers(cursor, position)
    }

    async fn purge(&self, retention: Duration) -> Result<Purged, Error> {
        self.check_open("purge")?;
        let purge = async {
            let mut entries = 0;
            loop {
                match self.shared.store.lock().purge(retention) {
                    0 => return Ok(Purged::new(entries)),
                    purged => entries += purged as u64,
                }
                tokio::task::yield_now().await;
            }
        };
        self.faults.purges().run(purge).await
    }

    fn identity(&self) -> Option<LogIdentity> {
        Some(self.shared.store.lock().identity())
    }

    fn joinable(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }

    async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        // Wakes the long polls of all handles; those of the others look and wait again.
        self.shared.appended.notify_waiters();
        Ok(())
    }
}

impl Clone for MemoryLog {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            faults: Arc::clone(&self.faults),
            closed: AtomicBool::new(false),
        }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (identity, entries) = {
            let store = self.shared.store.lock();
            (store.identity(), store.len())
        };
        f.debug_struct("MemoryLog")
            .field("identity", &identity)
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}
