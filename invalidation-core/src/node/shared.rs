//! What the tasks, the caches and the handles of one node share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    applier::Applier, lane::Lane, receipt::Receipt, settings::NodeSettings, unlogged::Unlogged,
};
use crate::{
    clock::NodeClock,
    error::{Error, ErrorKind},
    frame::{Carried, Standing},
    lease::LeaseState,
    log::SharedLog,
    observe,
    words::{ClusterName, Entry, GapReason, LogIdentity, NodeId, Position},
};

/// What the tasks, the caches and the handles of one node share. It does not keep the node alive.
pub(crate) struct Shared {
    pub(super) id: NodeId,
    pub(super) cluster: ClusterName,
    pub(super) settings: NodeSettings,
    pub(super) clock: NodeClock,
    pub(super) lease: Arc<LeaseState>,
    pub(super) applier: Applier,
    pub(super) log: Option<SharedLog>,
    pub(super) lanes: Vec<Arc<Lane>>,
    pub(super) unlogged: Unlogged,
    pub(super) closed: AtomicBool,
    pub(super) lapsed: AtomicBool,
}

impl Shared {
    pub(super) const fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// The poll period: `poll_interval`, or half the smallest `max_staleness` when that is shorter.
    pub(super) fn period(&self) -> Duration {
        let half = self.applier.registry.tightest().map(|limit| limit / 2);
        half.map_or(self.settings.poll_interval, |half| {
            half.min(self.settings.poll_interval)
        })
        .max(Duration::from_millis(1))
    }

    /// Something may have been missed: catch up from the log, or flush where there is none (`P10`).
    pub(super) fn gap(&self, source: &'static str, reason: GapReason) {
        observe::gap(source, reason);
        if self.has_log() {
            self.lease.nudge();
        } else {
            self.applier.flush_for_gap(reason);
        }
    }

    /// Counts a lapse once, when it begins.
    pub(super) fn lease_lapse(&self, lapsed: bool) {
        if lapsed && !self.lapsed.swap(true, Ordering::Relaxed) {
            observe::lease_lapsed();
        } else if !lapsed {
            self.lapsed.store(false, Ordering::Relaxed);
        }
    }

    /// Applies entries here and hands them to the fast path. Synchronous, and never waits for a peer
    /// (`P16`).
    pub(super) fn spread(
        &self,
        entries: &[Entry],
        positions: Vec<Position>,
        standing: &Standing,
        want_ack: bool,
    ) -> Receipt {
        self.applier.apply_own(entries, standing);
        let carried: Vec<Carried> = entries
            .iter()
            .map(|entry| Carried {
                entry: entry.clone(),
                standing: standing.clone(),
            })
            .collect();
        let push = |lane: &Arc<Lane>| (lane.name, lane.outbox.push(&carried, want_ack));
        let lanes = self.lanes.iter().map(push).collect();
        Receipt::new(
            entries.iter().map(|entry| entry.nonce).collect(),
            positions,
            lanes,
        )
    }

    /// Appends to the log, applies here, publishes: for writes that are done already.
    ///
    /// When the append fails, or is cancelled with its outcome unknown, the entries are applied and
    /// published all the same, as *claimed*.
    pub(super) async fn log_and_spread(
        &self,
        entries: &[Entry],
        want_ack: bool,
    ) -> Result<Receipt, Error> {
        self.check_open("invalidate")?;
        let Some(log) = &self.log else {
            let receipt = self.spread(entries, Vec::new(), &Standing::Proven(None), want_ack);
            // A node that ended meanwhile may have said farewell before this was published.
            self.check_open("invalidate")?;
            return Ok(receipt);
        };
        let mut unknown = Unknown {
            shared: self,
            entries: Some(entries),
        };
        let limit = self.settings.append_timeout;
        let appended = super::poller::timed(limit, "append", log.append(entries)).await;
        match appended {
            Ok(positions) => {
                unknown.entries = None; // The outcome is known.
                let standing = proven(&positions, log.identity());
                Ok(self.spread(entries, positions, &standing, want_ack))
            }
            Err(error) => Err(error), // `unknown` applies and publishes the claim.
        }
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            let message =
                "the node was shut down or dropped: keep a Node for as long as its caches are used";
            return Err(Error::new(ErrorKind::Closed, "node", operation, message));
        }
        Ok(())
    }
}

/// How entries stand that were committed at these positions. Without an identity nothing can be proven to
/// a reader of the log.
pub(super) fn proven(positions: &[Position], known: Option<LogIdentity>) -> Standing {
    match positions
        .first()
        .map(|position| position.identity.clone())
        .or(known)
    {
        Some(identity) => Standing::Proven(Some(identity)),
        None => Standing::Claimed,
    }
}

/// Entries that may or may not be in the log. Dropping it applies and publishes them as claimed.
struct Unknown<'a> {
    shared: &'a Shared,
    entries: Option<&'a [Entry]>,
}

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        if let Some(entries) = self.entries {
            observe::dropped("append_outcome_unknown");
            drop(
                self.shared
                    .spread(entries, Vec::new(), &Standing::Claimed, false),
            );
        }
    }
}
