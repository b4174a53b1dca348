//! Transactions of the log in memory.

use std::fmt;

use super::{log::MemoryLog, store::Ticket};
use crate::{
    error::{Error, ErrorKind},
    log::JoinsLog,
    words::{Entry, Position},
};

/// A transaction on a [`MemoryLog`]: its entries are in the log exactly if it commits (`P2`), in the order in
/// which transactions commit. Dropped, it rolls back.
///
/// A service whose data lives in memory as well lets its write [join](Self::and_write) the commit.
pub struct MemoryTransaction {
    log: MemoryLog,
    entries: Vec<(Ticket, Entry)>,
    writes: Vec<Box<dyn FnOnce() + Send>>,
}

impl MemoryTransaction {
    pub(super) const fn new(log: MemoryLog) -> Self {
        Self {
            log,
            entries: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// Runs `write` when this commits, in one step with it: who reads the log sees both or neither. It is
    /// called under the log's lock, and so must be short, and neither use the log nor panic.
    pub fn and_write(&mut self, write: impl FnOnce() + Send + 'static) {
        self.writes.push(Box::new(write));
    }

    /// Commits. Dropping the returned future before it was polled rolls back.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the log's handle was closed. Nothing is committed then.
    pub async fn commit(self) -> Result<(), Error> {
        let Self {
            log,
            entries,
            writes,
        } = self;
        log.check_open("commit")?;
        let commit = async {
            let mut store = log.shared.store.lock();
            for write in writes {
                write();
            }
            store.commit(entries);
            drop(store);
            log.shared.appended.notify_waiters();
            Ok(())
        };
        log.switches().commits().run(commit).await
    }

    /// Forgets all of it, as dropping does.
    pub fn rollback(self) {}
}

impl JoinsLog<MemoryLog> for MemoryTransaction {
    async fn append_in(
        &mut self,
        log: &MemoryLog,
        entries: &[Entry],
    ) -> Result<Vec<Position>, Error> {
        log.check_open("append")?;
        if !self.log.is_same(log) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "memory",
                "append",
                "the transaction belongs to another memory log than the node; begin it on the node's",
            ));
        }
        let append = async {
            let mut store = log.shared.store.lock();
            Ok(entries
                .iter()
                .map(|entry| {
                    let (ticket, position) = store.reserve();
                    self.entries.push((ticket, entry.clone()));
                    position
                })
                .collect())
        };
        log.switches().appends().run(append).await
    }
}

impl fmt::Debug for MemoryTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransaction")
            .field("log", &self.log)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}
