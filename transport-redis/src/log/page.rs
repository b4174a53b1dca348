//! What a look at the log means for a cursor.

use invalidation_core::{Completeness, Error, GapReason, LoggedEntry, Page, ReadRequest};
use redis::Value;

use super::{
    cursor::{Identity, Mark, Place},
    reply::Reply,
    rows::{Row, nonce, witness},
};

/// The log as one script saw it: everything that a page depends on is of one moment.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) identity: Identity,
    /// The last id that was given.
    pub(crate) last: Place,
    oldest: Option<Place>,
    /// The witness of the row at `last`; none when it was deleted.
    newest: Option<u64>,
    /// Its nonce, when it is one that this crate writes.
    newest_nonce: Option<u64>,
    /// The witness of the row which the handle knows.
    known: Option<u64>,
    /// Whether the server took over from another one, which may not know of it yet.
    took_over: bool,
    /// That of the row at the cursor.
    witness: Option<u64>,
    /// Those behind the cursor.
    rows: Vec<Row>,
    /// Whether there are no more.
    exhausted: bool,
}

/// What a handle knows of the log's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// The one it saw last.
    pub(crate) identity: Identity,
    /// The newest row that it wrote or read in that, and its nonce: there, unless it was purged or deleted.
    pub(crate) row: Option<(Place, u64)>,
}

impl Known {
    /// With what was seen now.
    pub(crate) fn and(self, seen: Self) -> Self {
        if self.identity != seen.identity {
            // An answer that was overtaken by another is no news.
            return match seen.identity.is_before(self.identity) {
                true => self,
                false => seen,
            };
        }
        Self {
            identity: self.identity,
            row: self.row.max(seen.row),
        }
    }

    /// With what an answer shows that does not contradict `asked`, which was known when it was asked for.
    pub(crate) fn and_seen(self, seen: Self, asked: Option<Self>) -> Self {
        // Learnt meanwhile, from another server: it has still to be looked for in the one that answered.
        if Some(self) != asked && !self.identity.has_history_of(seen.identity) {
            return self;
        }
        self.and(seen)
    }

    /// What is of use once everybody was told of what `told` knew: the time of its epoch, and whatever was learnt meanwhile.
    pub(crate) fn after_telling(self, told: &Self) -> Self {
        match self == *told {
            true => Self { row: None, ..self },
            false => self,
        }
    }
}

impl Look {
    /// Of an answer about a log that is there.
    pub(crate) fn of(mut reply: Reply) -> Result<Self, Error> {
        let rows = match reply.take(11) {
            Some(Value::Array(rows)) => rows.into_iter().map(Row::of).collect(),
            _ => Some(Vec::new()),
        };
        let (Some(rows), Some(last)) = (rows, reply.place(5)) else {
            return Err(reply.unknown());
        };
        Ok(Self {
            identity: reply.identity()?,
            last,
            oldest: reply.place(6),
            newest: reply.bytes(7).map(witness),
            newest_nonce: reply.bytes(7).and_then(nonce),
            known: reply.bytes(8).map(witness),
            took_over: reply.integer(9) == Some(1),
            witness: reply.bytes(10).map(witness),
            rows,
            exhausted: reply.integer(12) == Some(1),
        })
    }

    /// Behind everything that is there now, also when the newest rows were deleted by hand: whoever gets it starts cold, or
    /// has just been told of a gap, and is not told of it again.
    pub(crate) fn head(&self) -> Mark {
        Mark::new(self.identity, self.last, self.newest)
    }

    /// Whether the past was changed behind the server's back: this is a log from before the one that is known, or the row was
    /// there, and another is in its place, or its id was not given yet.
    ///
    /// Of the row that is so also where the server took over: that is told to all, but the primary that was replaced may have
    /// taken the row after it, and an epoch is of one stream wherever that was copied to.
    pub(crate) fn contradicts(&self, known: &Known) -> bool {
        let row_is_gone = known.row.is_some_and(|(place, nonce)| {
            self.last < place || self.known.is_some_and(|found| found != nonce)
        });
        self.identity.is_before(known.identity) || (self.follows(known.identity) && row_is_gone)
    }

    /// Whether this is the stream of `known` on the same server, or on one that took over.
    fn follows(&self, known: Identity) -> bool {
        let is_of_its_past = self.took_over || self.identity.has_history_of(known);
        is_of_its_past && self.identity.has_epoch_of(known)
    }

    /// The log that it shows, and its newest row of those that this crate writes.
    pub(crate) fn shows(&self) -> Known {
        let newest = self.newest_nonce.map(|nonce| (self.last, nonce));
        let row = || {
            let row = self.rows.last()?;
            Some((row.place, row.nonce()?))
        };
        Known {
            identity: self.identity,
            row: newest.or_else(row),
        }
    }

    /// The page behind the cursor of this request, which is `mark`.
    pub(crate) fn page(&self, mark: Option<&Mark>, request: &ReadRequest<'_>) -> Page {
        let Some(mark) = mark else {
            return self.expired(request, GapReason::CursorUnreadable);
        };
        if let Some(reason) = self.gap(mark) {
            return self.expired(request, reason);
        }
        let identity = self.identity.to_word();
        let mut entries = Vec::with_capacity(self.rows.len());
        let mut next = *mark;
        for row in &self.rows {
            if !next.place.is_followed_by(row.place) {
                return self.expired(request, GapReason::EntriesLost);
            }
            next = Mark::new(self.identity, row.place, Some(row.witness()));
            entries.push(LoggedEntry {
                position: row.place.to_position(identity.clone()),
                payload: row.decode(),
            });
        }
        let complete = if next.place == self.last {
            Completeness::AsOf(request.started)
        } else if self.exhausted {
            return self.expired(request, GapReason::EntriesLost);
        } else {
            Completeness::Partial
        };
        Page::Entries {
            entries,
            next: next.to_cursor(),
            complete,
        }
    }

    /// Why nothing can be read on from `mark`, if so (`P10`, `P13`).
    fn gap(&self, mark: &Mark) -> Option<GapReason> {
        if !mark.is_of(self.identity) {
            return Some(GapReason::IdentityChanged);
        }
        // Ids are not given twice, unless the log was put back to another state.
        if self.last < mark.place {
            return Some(GapReason::WitnessLost);
        }
        let next = self.rows.first();
        if let Some(next) = next
            && !mark.place.is_followed_by(next.place)
        {
            let from_the_front = self.oldest == Some(next.place);
            return Some(match from_the_front {
                true => GapReason::Purged,
                false => GapReason::EntriesLost,
            });
        }
        let intact = match (self.witness, next) {
            (Some(found), _) => mark.witness == Some(found),
            // What was purged right up to the cursor is still named by the row behind it.
            (None, Some(next)) => next.previous() == mark.witness,
            (None, None) => mark.witness.is_none() || mark.place < self.last,
        };
        (!intact).then_some(GapReason::WitnessLost)
    }

    pub(crate) fn expired(&self, request: &ReadRequest<'_>, reason: GapReason) -> Page {
        Page::Expired {
            next: self.head().to_cursor(),
            as_of: request.started,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    fn known(history: char, epoch: u64, number: u64) -> Known {
        let history = history.to_string().repeat(40);
        Known {
            identity: Identity::parse(&history, &format!("{epoch:016x}{:016x}", 7)).unwrap(),
            row: Some((Place::at(number), number)),
        }
    }

    /// P1: what one server acknowledged while another was asked is not forgotten for the other's answer.
    #[test]
    fn what_was_learnt_meanwhile_is_kept() {
        let (old, written, new) = (known('a', 1, 2), known('a', 1, 3), known('b', 1, 9));
        assert_eq!(written.and_seen(new, Some(old)), written);
        assert_eq!(written.and_seen(new, None), written);
        // The next answer was held against it.
        assert_eq!(written.and_seen(new, Some(written)), new);
        // And of one server the newest is known, whatever was asked.
        let newer = known('a', 1, 4);
        assert_eq!(written.and_seen(newer, Some(old)), newer);
        assert_eq!(newer.and_seen(written, Some(old)), newer);
        // An answer from before the log was made anew is overtaken.
        let anew = known('a', 2, 1);
        assert_eq!(anew.and_seen(newer, Some(anew)), anew);
        // Telling of one row is not telling of another.
        assert_eq!(old.after_telling(&old).row, None);
        assert_eq!(written.after_telling(&old), written);
    }
}
