//! Whether a node recovers as fast as it promises (`P20`), whatever the machine does meanwhile.
//!
//! Not by a time until it is seen to have recovered, which a slow disk or a busy machine stretches, and a node that idles
//! hides in. What is judged is what the node alone decides: how long it pauses between two reads of its log, when it gives
//! one up, and what it serves once it has applied one that told it everything.

use std::time::Duration;

use super::{
    pace::Doing,
    place::Place,
    timing::{LATE, PAUSE, POLL, READ_TIMEOUT, RECOVERY},
};

/// How many complete reads of the log a node may apply without being seen to hold a lease: a lease is short, and a busy
/// machine may let it pass between the read that renewed it and the look at it.
const LOOKS: usize = 20;

/// Watches one node recover; everything was whole when it was made.
pub(crate) struct Recovery<'a> {
    place: &'a Place,
    /// Reads of the log that may not see everything.
    begun: u64,
    healed: Duration,
}

/// What a read of a cache found that has not recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The right version, and no lease.
    NoLease,
    /// An old version.
    Old,
    /// An error, such as one of the database that the rows are in.
    Nothing,
}

impl<'a> Recovery<'a> {
    pub(crate) fn of(place: &'a Place) -> Self {
        let pace = place.gate.pace();
        Self {
            place,
            begun: pace.begun(),
            healed: pace.ran(),
        }
    }

    /// Begins to wait for one cache.
    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait {
            recovery: self,
            before: self.applied(),
        }
    }

    /// How many complete reads of the log the node has applied since everything was whole.
    fn applied(&self) -> usize {
        self.place.gate.pace().applied_since(self.begun)
    }

    /// How long ago that was.
    pub(crate) fn lasts(&self) -> Duration {
        let pace = self.place.gate.pace();
        pace.ran().saturating_sub(self.healed)
    }
}

/// Waits for what one cache of the node serves.
pub(crate) struct Wait<'a> {
    recovery: &'a Recovery<'a>,
    /// How many complete reads of the log had been applied when it began.
    before: usize,
}

impl Wait<'_> {
    /// How many complete reads of the log the node has applied since everything was whole. To be asked before a read of
    /// its cache.
    pub(crate) fn applied(&self) -> usize {
        self.recovery.applied()
    }

    /// Why a node that had `applied` so much, and of whose cache this was `found` then, has broken its promise.
    pub(crate) fn breach(&self, applied: usize, found: Found) -> Option<String> {
        let lasts = self.recovery.lasts();
        let whole = format!("everything has been whole for {lasts:?}");
        if found == Found::Old && applied > 0 {
            return Some(format!("and it has since read its log to the end; {whole}"));
        }
        let looks = applied.saturating_sub(self.before);
        if looks > LOOKS && lasts > PAUSE + READ_TIMEOUT {
            return Some(format!(
                "and it has since read its log to the end {looks} times; {whole}"
            ));
        }
        match self.recovery.place.gate.pace().doing() {
            Doing::Pausing(pause) if pause.min(lasts) > PAUSE + LATE => Some(format!(
                "and it has begun no read of its log for {pause:?}, where a poll interval is {POLL:?}; {whole}"
            )),
            Doing::Reading(reading) if reading.min(lasts) > READ_TIMEOUT + LATE => Some(format!(
                "and it waits for a read of its log that it began {reading:?} ago, where the timeout is \
                 {READ_TIMEOUT:?}; {whole}"
            )),
            _ => (lasts > RECOVERY).then_some(whole),
        }
    }
}
