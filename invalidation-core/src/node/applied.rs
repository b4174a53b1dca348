//! Which entries were applied already, so that the log need not apply them again (`P8`).

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::{
    clock::Tick,
    words::{EntryHash, LogIdentity},
};

/// A bounded memory of applied entries. It forgets the oldest, towards applying again.
///
/// The hash covers the nonce, so that identity and hash tell one record of one incarnation of one log.
#[derive(Debug)]
pub(super) struct AppliedSet {
    capacity: usize,
    marks: HashMap<EntryHash, Mark, RandomState>,
    order: VecDeque<EntryHash>,
    /// The incarnations seen, so that a mark need only hold a number; `None` where there is no log.
    identities: Vec<Option<LogIdentity>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    /// An index into the identities.
    identity: u32,
    at: Tick,
}

/// More incarnations than this are not worth telling apart: all is forgotten.
const IDENTITIES: usize = 64;

impl AppliedSet {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            marks: HashMap::default(),
            order: VecDeque::new(),
            identities: Vec::new(),
        }
    }

    /// When the entry was marked, if it was.
    pub(super) fn marked_at(
        &self,
        identity: Option<&LogIdentity>,
        hash: EntryHash,
    ) -> Option<Tick> {
        let mark = self.marks.get(&hash)?;
        let of = self.identities.get(mark.identity as usize)?;
        (of.as_ref() == identity).then_some(mark.at)
    }

    /// Remembers that every target has applied the entry.
    pub(super) fn mark(&mut self, identity: Option<LogIdentity>, hash: EntryHash, now: Tick) {
        let identity = self.number(identity);
        // The same hash in another incarnation takes the place of the first, which is thereby forgotten.
        if self
            .marks
            .insert(hash, Mark { identity, at: now })
            .is_none()
        {
            self.order.push_back(hash);
            if self.order.len() == self.capacity {
                // A table that is more than half full grows once more when what is removed from it leaves no
                // free places. Now, so that memory stands still from here on.
                self.marks.reserve(self.capacity);
            }
            if self.order.len() > self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.marks.remove(&oldest);
            }
        }
    }

    fn number(&mut self, identity: Option<LogIdentity>) -> u32 {
        // The newest is the likeliest.
        if let Some(known) = self.identities.iter().rposition(|known| *known == identity) {
            return known as u32;
        }
        if self.identities.len() >= IDENTITIES {
            self.identities.clear();
            self.marks.clear();
            self.order.clear();
        }
        self.identities.push(identity);
        (self.identities.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Entry, Invalidation};

    /// P8: the memory of applied entries is bounded, and forgets towards applying again.
    #[test]
    fn p8_forgets_the_oldest_first() {
        let mut set = AppliedSet::new(2);
        let hashes: Vec<_> = (0..3)
            .map(|_| Entry::new(Invalidation::Everything).hash())
            .collect();
        for hash in &hashes {
            set.mark(None, *hash, Tick::default());
        }
        assert!(set.marked_at(None, hashes[0]).is_none());
        assert!(set.marked_at(None, hashes[1]).is_some());
        assert!(set.marked_at(None, hashes[2]).is_some());
        assert_eq!(set.marks.len(), 2);
    }

    /// P8: the same entry of another incarnation of the log is another entry.
    #[test]
    fn p8_another_identity_is_another_entry() {
        let mut set = AppliedSet::new(2);
        let hash = Entry::new(Invalidation::Everything).hash();
        let identity = |bytes: &'static [u8]| LogIdentity::from_bytes(bytes);
        set.mark(Some(identity(b"a")), hash, Tick::default());
        assert!(set.marked_at(Some(&identity(b"a")), hash).is_some());
        assert!(set.marked_at(Some(&identity(b"b")), hash).is_none());
        assert!(set.marked_at(None, hash).is_none());
    }

    /// P18: incarnations are bounded too, and forgotten towards applying again.
    #[test]
    fn p18_incarnations_are_bounded() {
        let mut set = AppliedSet::new(1_000);
        let hash = Entry::new(Invalidation::Everything).hash();
        for number in 0..10 * IDENTITIES as u64 {
            let identity = LogIdentity::from_bytes(number.to_be_bytes().to_vec());
            set.mark(Some(identity.clone()), hash, Tick::default());
            assert!(set.marked_at(Some(&identity), hash).is_some());
            assert!(set.identities.len() <= IDENTITIES);
        }
    }
}
