//! A fresh log with an installed node: where every case begins.

use std::sync::Arc;

use invalidation_core::{Entry, Position, SharedLog};

use super::{BusinessTransaction, LogHarness, LogSpace, entries::assert_same, reader::Reader};
use crate::{Disruption, Unable, disruption::mended};

pub(super) struct Stage {
    pub(super) space: Arc<dyn LogSpace>,
    /// The handle of the node that installed it.
    pub(super) log: SharedLog,
}

impl Stage {
    pub(super) async fn fresh(harness: &Arc<dyn LogHarness>) -> Result<Self, Unable> {
        Self::of(harness.fresh().await?.into()).await
    }

    /// The one in this space, which is fresh.
    pub(super) async fn of(space: Arc<dyn LogSpace>) -> Result<Self, Unable> {
        let log = space.connect().await?;
        log.install()
            .await
            .expect("expected install to succeed, and it failed");
        Ok(Self { space, log })
    }

    /// Another node's handle, installed as a node does when it starts.
    pub(super) async fn node(&self) -> Result<SharedLog, Unable> {
        let log = self.space.connect().await?;
        log.install()
            .await
            .expect("expected install to succeed where another node installed, and it failed");
        Ok(log)
    }

    /// Another node that starts cold: it takes the head, and reads on from there.
    pub(super) async fn reader(&self) -> Result<Reader, Unable> {
        Ok(Reader::cold(self.node().await?).await)
    }

    pub(super) async fn append(&self, entries: &[Entry]) -> Vec<Position> {
        append(&self.log, entries).await
    }

    /// Appends each on its own: a log may keep what is appended at once as one record, of which a purge takes all or
    /// nothing.
    pub(super) async fn append_each(&self, entries: &[Entry]) {
        for entry in entries {
            self.append(std::slice::from_ref(entry)).await;
        }
    }

    pub(super) async fn begin(&self) -> Result<Box<dyn BusinessTransaction>, Unable> {
        if !self.log.capabilities().transactional {
            return Err(Unable::because("the log does not join transactions"));
        }
        self.space.begin().await
    }

    pub(super) async fn disrupt(&self, disruption: Disruption) -> Result<(), Unable> {
        self.space.disrupt(disruption).await
    }

    /// Ends what another disruption began.
    pub(super) async fn mend(&self, mends: Disruption) {
        mended(mends, self.space.disrupt(mends).await);
    }
}

/// Appends, and asserts that there is a position for each entry.
pub(super) async fn append(log: &SharedLog, entries: &[Entry]) -> Vec<Position> {
    let positions = log.append(entries).await;
    let positions = positions.expect("expected an append to succeed, and it failed");
    let rule = "append gives one position for each entry";
    assert_same(rule, entries.len(), positions.len());
    positions
}
