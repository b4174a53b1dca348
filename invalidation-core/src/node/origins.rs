//! Gap detection: which frames of which origin have arrived.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::words::{GapReason, NodeId};

/// How far ahead of a hole frames may arrive before the hole counts as a gap.
const WINDOW: u64 = 64;
/// How long a hole may stay open before it counts as a gap.
const REORDER: Duration = Duration::from_millis(200);
/// How many origins are remembered; one forgotten counts as first contact.
const ORIGINS: usize = 1_024;
/// Three heartbeats and a half.
pub(super) const SILENCE: Duration = Duration::from_millis(3_500);

/// What has arrived of each origin, over one transport. One task owns it.
#[derive(Debug, Default)]
pub(super) struct Origins {
    known: HashMap<NodeId, Origin>,
}

#[derive(Debug)]
struct Origin {
    /// Every frame up to this one has arrived, or its loss was reported.
    base: u64,
    /// Bit `i` is set when frame `base + 1 + i` has arrived.
    ahead: u64,
    /// The highest sequence known to have been sent.
    head: u64,
    /// Since when the frame after `base` has been missing though a later one was sent.
    hole_since: Option<Instant>,
    heard: Instant,
}

impl Origins {
    /// A frame with `sequence` arrived.
    pub(super) fn frame(
        &mut self,
        origin: NodeId,
        sequence: u64,
        now: Instant,
    ) -> Option<GapReason> {
        let Some(known) = self.known.get_mut(&origin) else {
            self.meet(origin, sequence, now);
            return (sequence != 1).then_some(GapReason::FirstContact);
        };
        known.heard = now;
        known.arrived(sequence, now)
    }

    /// A heartbeat arrived that says `head` was the last sequence sent.
    pub(super) fn heartbeat(
        &mut self,
        origin: NodeId,
        head: u64,
        now: Instant,
    ) -> Option<GapReason> {
        let Some(known) = self.known.get_mut(&origin) else {
            self.meet(origin, head, now);
            return (head != 0).then_some(GapReason::FirstContact);
        };
        known.heard = now;
        known.expect(head, now);
        None
    }

    /// The origin says farewell: it sent nothing after `head`, and its silence is no gap.
    pub(super) fn farewell(&mut self, origin: NodeId, head: u64) -> Option<GapReason> {
        match self.known.remove(&origin) {
            Some(known) => (known.base < head).then_some(GapReason::SequenceHole),
            // All that it sent may have been lost: a contact like any other, and the last one.
            None => (head != 0).then_some(GapReason::FirstContact),
        }
    }

    /// Whether any hole is open.
    pub(super) fn waits(&self) -> bool {
        self.known.values().any(|known| known.hole_since.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Holes that did not close in time.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<GapReason> {
        let mut gap = None;
        for known in self.known.values_mut() {
            if known
                .hole_since
                .is_some_and(|since| now.duration_since(since) >= REORDER)
            {
                known.give_up();
                gap = Some(GapReason::SequenceHole);
            }
        }
        gap
    }

    /// Origins that fell silent. Asked only where there is no log, and so heartbeats.
    pub(super) fn silent(&mut self, now: Instant) -> Option<GapReason> {
        let before = self.known.len();
        self.known
            .retain(|_, known| now.duration_since(known.heard) < SILENCE);
        (self.known.len() < before).then_some(GapReason::OriginSilent)
    }

    fn meet(&mut self, origin: NodeId, base: u64, now: Instant) {
        if self.known.len() >= ORIGINS
            && let Some(oldest) = self
                .known
                .iter()
                .min_by_key(|(_, known)| known.heard)
                .map(|(id, _)| *id)
        {
            self.known.remove(&oldest);
        }
        let known = Origin {
            base,
            ahead: 0,
            head: base,
            hole_since: None,
            heard: now,
        };
        self.known.insert(origin, known);
    }
}

impl Origin {
    fn arrived(&mut self, sequence: u64, now: Instant) -> Option<GapReason> {
        if sequence <= self.base {
            return None; // Late or again: it is applied all the same, which never hurts (P8).
        }
        self.head = self.head.max(sequence);
        if sequence - self.base > WINDOW {
            self.give_up();
            return Some(GapReason::SequenceHole);
        }
        self.ahead |= 1 << (sequence - self.base - 1);
        let closed = self.ahead.trailing_ones();
        if closed > 0 {
            self.base += u64::from(closed);
            self.ahead = self.ahead.checked_shr(closed).unwrap_or(0);
            self.hole_since = None; // Whatever is still missing is another hole.
        }
        self.watch(now);
        None
    }

    fn expect(&mut self, head: u64, now: Instant) {
        self.head = self.head.max(head);
        self.watch(now);
    }

    fn watch(&mut self, now: Instant) {
        if self.base >= self.head {
            self.hole_since = None;
        } else if self.hole_since.is_none() {
            self.hole_since = Some(now);
        }
    }

    fn give_up(&mut self) {
        self.base = self.head;
        self.ahead = 0;
        self.hole_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(origins: &mut Origins) -> (NodeId, Instant) {
        let (origin, now) = (NodeId::random(), Instant::now());
        assert_eq!(origins.frame(origin, 1, now), None);
        (origin, now)
    }

    /// P10: the first frame seen of an origin is a gap unless it is its first.
    #[test]
    fn p10_first_contact_in_the_middle_is_a_gap() {
        let mut origins = Origins::default();
        let now = Instant::now();
        assert_eq!(
            origins.frame(NodeId::random(), 7, now),
            Some(GapReason::FirstContact)
        );
        assert_eq!(origins.frame(NodeId::random(), 1, now), None);
        assert_eq!(origins.heartbeat(NodeId::random(), 0, now), None);
        assert_eq!(
            origins.heartbeat(NodeId::random(), 3, now),
            Some(GapReason::FirstContact)
        );
    }

    /// P10: frames that change places within the window are no gap.
    #[test]
    fn p10_reordering_closes_its_own_hole() {
        let mut origins = Origins::default();
        let (origin, now) = met(&mut origins);
        for sequence in [4, 3, 2, 6, 5, 65 + 5, 7] {
            assert_eq!(origins.frame(origin, sequence, now), None, "at {sequence}");
        }
        for sequence in 8..70 {
            assert_eq!(origins.frame(origin, sequence, now), None, "at {sequence}");
        }
        assert_eq!(origins.overdue(now + REORDER), None);
    }

    /// P10: a hole that stays open is a gap, once.
    #[test]
    fn p10_a_hole_that_stays_open_is_a_gap() {
        let mut origins = Origins::default();
        let (origin, now) = met(&mut origins);
        assert_eq!(origins.frame(origin, 3, now), None);
        assert_eq!(origins.overdue(now + REORDER / 2), None);
        assert_eq!(
            origins.overdue(now + REORDER),
            Some(GapReason::SequenceHole)
        );
        assert_eq!(origins.overdue(now + 2 * REORDER), None);
        assert_eq!(origins.frame(origin, 4, now), None);
    }

    /// P10: a hole that the window cannot hold is a gap at once.
    #[test]
    fn p10_a_leap_beyond_the_window_is_a_gap() {
        let mut origins = Origins::default();
        let (origin, now) = met(&mut origins);
        assert_eq!(origins.frame(origin, 1 + WINDOW, now), None);
        let mut origins = Origins::default();
        let (origin, now) = met(&mut origins);
        assert_eq!(
            origins.frame(origin, 2 + WINDOW, now),
            Some(GapReason::SequenceHole)
        );
    }

    /// P10: a heartbeat finds the lost tail.
    #[test]
    fn p10_a_heartbeat_finds_a_lost_tail() {
        let mut origins = Origins::default();
        let (origin, now) = met(&mut origins);
        assert_eq!(origins.heartbeat(origin, 2, now), None);
        assert_eq!(
            origins.overdue(now + REORDER),
            Some(GapReason::SequenceHole)
        );
    }

    /// P10: silence is a gap, a farewell that says no more than was heard is not.
    #[test]
    fn p10_silence_is_a_gap_and_a_farewell_is_not() {
        let mut origins = Origins::default();
        let (_, now) = met(&mut origins);
        assert_eq!(origins.silent(now + SILENCE / 2), None);
        assert_eq!(origins.silent(now + SILENCE), Some(GapReason::OriginSilent));
        let (polite, now) = met(&mut origins);
        assert_eq!(origins.farewell(polite, 1), None);
        assert_eq!(origins.silent(now + SILENCE), None);
        let (hasty, _) = met(&mut origins);
        assert_eq!(origins.farewell(hasty, 2), Some(GapReason::SequenceHole));
        assert_eq!(origins.farewell(NodeId::random(), 0), None);
    }

    /// P10: the farewell of an origin that was never heard, or was forgotten since, tells that it had something
    /// to say.
    #[test]
    fn p10_a_farewell_is_a_contact_too() {
        let mut origins = Origins::default();
        let stranger = origins.farewell(NodeId::random(), 1);
        assert_eq!(stranger, Some(GapReason::FirstContact));
        let (origin, now) = met(&mut origins);
        assert_eq!(origins.silent(now + SILENCE), Some(GapReason::OriginSilent));
        assert_eq!(origins.farewell(origin, 2), Some(GapReason::FirstContact));
    }

    /// P18: the memory for origins is bounded.
    #[test]
    fn p18_origins_are_bounded() {
        let mut origins = Origins::default();
        let now = Instant::now();
        for _ in 0..2 * ORIGINS {
            origins.frame(NodeId::random(), 1, now);
        }
        assert_eq!(origins.known.len(), ORIGINS);
    }
}
