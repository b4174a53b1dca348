//! What one view of the rings tells whoever has read so far.

use bytes::Bytes;
use invalidation_core::{GapReason, LoggedEntry};

use super::{
    answer::Known,
    cursor::{Mark, Passed, Witness, position},
    entry,
    ring::{Batch, Place, Ring},
    unread::Seen,
};

/// The rings at one revision, and what the server counts.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) known: Known,
    /// The newest append of all.
    pub(crate) newest: Place,
    /// The version of the key `newest`.
    pub(crate) version: i64,
    /// Those that changed since the reader's witness, and that of the witness; each with its number.
    pub(crate) rings: Vec<(u32, Ring)>,
}

/// How large a page may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there, or its ring forgot it, which hides what else became of it. Or else every reader is told, by another
    /// epoch, another cluster, or a log that was made anew.
    Kept,
    /// It is in no past of this log: an older state came back.
    Lost,
    /// Its ring is not there. Where all rings were asked for, somebody has deleted that, which each reader counts by itself;
    /// or an older state came back in which it had been.
    Absent,
}

/// A page that was cut from a view.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) entries: Vec<LoggedEntry>,
    pub(crate) next: Mark,
    /// Whether nothing is left behind it.
    pub(crate) is_complete: bool,
}

impl View {
    /// Reads on from `mark`, or says why that cannot be (`P10`, `P13`).
    ///
    /// All appends of the log stand in one order, that of their revisions, and each is proven by its random id to be of the
    /// same past as all before it. So it takes two proofs to read on:
    /// - The mark's witness is still there, or the ring that held it ends right with it. Then the past through it is the one
    ///   that was read, and nothing that is not newer was missed, however often an older state was restored, and whatever
    ///   revisions were used again.
    /// - As many appends are here as the server counted since. Then none of them fell out of its ring, or was deleted.
    pub(crate) fn read(&self, mark: &Mark, size: Size) -> Result<Cut, GapReason> {
        if mark.identity != self.known.identity {
            return Err(GapReason::IdentityChanged);
        }
        let is_forgotten = self.has_forgotten(mark);
        let lost = |reason| {
            if is_forgotten {
                GapReason::Purged
            } else {
                reason
            }
        };
        if !self.is_there(mark) {
            return Err(lost(GapReason::WitnessLost));
        }
        if self.places().any(|place| is_of_another_past(mark, place)) {
            return Err(GapReason::WitnessLost);
        }
        let mut batches: Vec<_> = self
            .batches()
            // Only a key that was written by hand has more than the log.
            .filter(|(_, batch)| batch.place.revision <= self.newest.revision)
            .collect();
        batches.sort_unstable_by_key(|(_, batch)| batch.place);
        let newer = batches.partition_point(|(_, batch)| batch.place.revision <= mark.at.revision);
        let (older, newer) = batches.split_at(newer);
        if is_forgotten
            || i64::try_from(newer.len()) != Ok(self.version - mark.version)
            || newer
                .last()
                .is_some_and(|(_, last)| last.place != self.newest)
        {
            return Err(lost(GapReason::EntriesLost));
        }
        let rest = match mark.passed {
            Passed::Whole => None,
            Passed::Some(entries) => {
                let begun = older.iter().find(|(_, batch)| batch.place == mark.at);
                let begun = begun.ok_or_else(|| self.loss_of(mark))?;
                Some((*begun, entries))
            }
        };
        let first = rest.map(|(batch, passed)| (batch, passed, mark.version));
        let newer = newer
            .iter()
            .zip(mark.version + 1..)
            .map(|(batch, version)| (*batch, 0, version));
        Ok(self.cut(mark, first.into_iter().chain(newer), size))
    }

    /// The mark behind everything, of a view of all rings.
    pub(crate) fn head(&self) -> Mark {
        let newest = self.rings.iter().map(|(ring, held)| Witness {
            place: held.newest(),
            ring: *ring,
        });
        Mark {
            identity: self.known.identity,
            at: self.newest,
            version: self.version,
            passed: Passed::Whole,
            witness: newest
                .filter(|witness| witness.place <= self.newest)
                .max()
                .unwrap_or(Witness::NONE),
        }
    }

    /// Whether something may be lost of which other readers do not know, so that all rings are to be looked at.
    pub(crate) fn may_have_lost(
        &self,
        mark: &Mark,
        gap: Option<GapReason>,
        unread: &[Seen],
    ) -> bool {
        self.is_any(mark, gap, unread, |append| self.fate(append) != Fate::Kept)
    }

    /// Whether something is lost of which other readers may not know: by what this reader has read, who has a `gap` or none,
    /// or by what the handle has appended. Of a view of all rings.
    pub(crate) fn has_lost(&self, mark: &Mark, gap: Option<GapReason>, unread: &[Seen]) -> bool {
        self.is_any(mark, gap, unread, |append| match self.fate(append) {
            Fate::Kept => false,
            Fate::Lost => true,
            // Had it been deleted here, this reader would have missed it.
            Fate::Absent => gap.is_none() && append.witness.place.revision > mark.at.revision,
        })
    }

    fn is_any(
        &self,
        mark: &Mark,
        gap: Option<GapReason>,
        unread: &[Seen],
        is_lost: impl Fn(&Seen) -> bool,
    ) -> bool {
        let read = Seen {
            identity: mark.identity,
            witness: mark.witness,
        };
        let is_of_another_past = || {
            mark.identity == self.known.identity
                && self.places().any(|place| is_of_another_past(mark, place))
        };
        gap.is_some() && (is_lost(&read) || is_of_another_past()) || unread.iter().any(is_lost)
    }

    /// What became of an append that was there (`P1`, `P10`).
    pub(crate) fn fate(&self, append: &Seen) -> Fate {
        let (was, is) = (append.identity, self.known.identity);
        let Witness { place, ring } = append.witness;
        let fate_if = |is_lost| if is_lost { Fate::Lost } else { Fate::Kept };
        if was.cluster != is.cluster {
            return Fate::Kept;
        }
        if was.epoch != is.epoch {
            return fate_if(!self.known.meta.knows(was.epoch));
        }
        // Only a restore takes back that it was made anew, or put there by hand, with the same epoch.
        if was.created != is.created {
            return fate_if(was.created > is.created);
        }
        if append.witness == Witness::NONE {
            return Fate::Kept;
        }
        if self.newest.revision < place.revision {
            return Fate::Lost;
        }
        let mut rings = self.rings.iter();
        let Some((_, held)) = rings.find(|(number, _)| *number == ring) else {
            return Fate::Absent;
        };
        let is_there = held.batches.iter().any(|batch| batch.place == place);
        fate_if(!is_there && held.floor != place && held.floor.revision <= place.revision)
    }

    /// Whether the past of `mark` is this one.
    fn is_there(&self, mark: &Mark) -> bool {
        self.places()
            .any(|place| place == mark.at || place == mark.witness.place)
    }

    /// Why the append is gone that `mark` has begun with.
    fn loss_of(&self, mark: &Mark) -> GapReason {
        match self.rings.iter().any(|(_, ring)| ring.floor == mark.at) {
            true => GapReason::Purged,
            false => GapReason::EntriesLost,
        }
    }

    /// Whether a ring ends with an append that came after `mark` and is gone. That of a ring which was made anew is another
    /// ring's, and there.
    fn has_forgotten(&self, mark: &Mark) -> bool {
        let mut floors = self.rings.iter().map(|(_, ring)| ring.floor);
        floors.any(|floor| {
            floor.revision > mark.at.revision
                && !self.batches().any(|(_, batch)| batch.place == floor)
        })
    }

    /// All appends that are there, each with its ring.
    fn batches(&self) -> impl Iterator<Item = (u32, &Batch)> {
        self.rings
            .iter()
            .flat_map(|(number, ring)| ring.batches.iter().map(|batch| (*number, batch)))
    }

    /// All appends that the rings know of.
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let floors = self.rings.iter().map(|(_, ring)| ring.floor);
        self.batches().map(|(_, batch)| batch.place).chain(floors)
    }

    /// The batches, each with how many of its entries were passed and the version at it, as far as they fit.
    fn cut<'a>(
        &self,
        mark: &Mark,
        batches: impl Iterator<Item = ((u32, &'a Batch), u32, i64)>,
        size: Size,
    ) -> Cut {
        let mut cut = Cut {
            entries: Vec::new(),
            next: *mark,
            is_complete: true,
        };
        let mut bytes = 0;
        for ((ring, batch), passed, version) in batches {
            // It is there, and so its own witness.
            let mut at = Mark {
                at: batch.place,
                version,
                witness: Witness {
                    place: batch.place,
                    ring,
                },
                ..*mark
            };
            for (index, stored) in (0..).zip(&batch.entries).skip(passed as usize) {
                bytes += stored.len();
                let is_full = cut.entries.len() >= size.entries || bytes > size.bytes;
                if is_full && !cut.entries.is_empty() {
                    cut.is_complete = false;
                    return cut;
                }
                cut.entries.push(self.logged(batch.place, index, stored));
                at.passed = Passed::Some(index + 1);
                cut.next = at;
            }
            at.passed = Passed::Whole;
            cut.next = at;
        }
        cut
    }

    fn logged(&self, place: Place, index: u32, stored: &Bytes) -> LoggedEntry {
        LoggedEntry {
            position: position(self.known.identity.to_word(), place.id, index),
            payload: entry::decode(stored),
        }
    }
}

/// Whether an append stands where there was none when the mark was made: an older state was restored, and written to since.
fn is_of_another_past(mark: &Mark, place: Place) -> bool {
    let had_none = mark.witness.place.revision + 1..=mark.at.revision;
    had_none.contains(&place.revision) && place != mark.at
}

#[cfg(test)]
mod tests;
