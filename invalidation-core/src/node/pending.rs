//! Invalidations that wait for the commit of the transaction they joined.

use std::{future::Future, sync::Arc};

use super::{
    quarantine::Quarantine,
    receipt::Receipt,
    shared::{Shared, proven},
};
use crate::{
    frame::Standing,
    observe,
    words::{Entry, Position},
};

/// Invalidations that stand in a transaction which is not committed yet (`P2`).
///
/// While it is open, this node fills no entry that it covers: a loader could read the transaction's own
/// uncommitted rows. Finish it with [`commit`](Self::commit), or with [`committed`](Self::committed) where
/// the commit is not a future. Dropped, failed or cancelled, the outcome is unknown: the entries are applied
/// here and published as *claimed*, which costs a miss and is never wrong.
#[must_use = "commit the transaction through `commit`, or call `committed` after it"]
pub struct Pending {
    shared: Arc<Shared>,
    entries: Vec<Entry>,
    positions: Vec<Position>,
    quarantine: Arc<Quarantine>,
    open: bool,
}

impl Pending {
    /// Opens the quarantine on `entries`, before they are appended.
    pub(super) fn open(shared: Arc<Shared>, entries: Vec<Entry>) -> Self {
        Self {
            quarantine: shared.applier.registry.quarantine(&entries),
            shared,
            entries,
            positions: Vec::new(),
            open: true,
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries were appended by themselves, as the second of two steps: applies here, and publishes.
    pub(super) fn logged(mut self, positions: Vec<Position>, want_ack: bool) -> Receipt {
        let standing = match &self.shared.log {
            Some(log) => proven(&positions, log.identity()),
            None => Standing::Proven(None),
        };
        self.positions = positions;
        self.settle(&standing, want_ack)
    }

    /// Committed, and not in the log yet: applied here and published as a claim, and no longer quarantined, since a load
    /// that begins now reads what was committed.
    pub(super) fn claim(mut self) {
        drop(self.settle(&Standing::Claimed, false));
    }

    /// What it covers was applied by other means.
    pub(super) fn release(mut self) {
        self.open = false;
        self.quarantine.release();
    }

    pub(super) fn appended(&mut self, positions: Vec<Position>) {
        self.positions = positions;
    }

    /// Awaits the driver's commit, applies here, and publishes. Takes any lazy commit future, such as
    /// `tx.commit()`. When it returns `Ok`, this node no longer serves the old values (`P6`).
    ///
    /// Cancelled while the commit is under way, the outcome is unknown: see [`Pending`].
    ///
    /// # Errors
    /// The driver's own; the entries are then applied and published as claimed.
    pub async fn commit<T, E>(
        self,
        commit: impl Future<Output = Result<T, E>>,
    ) -> Result<Receipt, E> {
        commit.await?;
        Ok(self.committed())
    }

    /// The transaction was committed by other means: applies here, and publishes.
    pub fn committed(mut self) -> Receipt {
        let identity = self.shared.log.as_ref().and_then(|log| log.identity());
        let standing = proven(&self.positions, identity);
        self.settle(&standing, false)
    }

    /// The transaction was rolled back for certain: nothing is published. The entries are dropped here, since
    /// a load that carries one of its tags may have read its uncommitted rows and still be under way.
    pub fn rolled_back(mut self) {
        self.open = false;
        self.shared
            .applier
            .apply_own(&self.entries, &Standing::Claimed);
        self.quarantine.release();
    }

    /// Where each entry will stand in the log; empty when the driver could not tell.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    fn settle(&mut self, standing: &Standing, want_ack: bool) -> Receipt {
        self.open = false;
        let receipt = self.shared.spread(
            &self.entries,
            std::mem::take(&mut self.positions),
            standing,
            want_ack,
        );
        self.quarantine.release();
        receipt
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.open {
            observe::dropped("commit_outcome_unknown");
            drop(self.settle(&Standing::Claimed, false));
        }
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}
