//! Which entries were applied already, so that the log need not apply them again (`P8`).

use std::collections::{HashMap, VecDeque};

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
    marks: HashMap<Mark, Tick>,
    order: VecDeque<Mark>,
}

/// One record of one incarnation of the log; `None` where there is no log.
type Mark = (Option<LogIdentity>, EntryHash);

impl AppliedSet {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            marks: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// When the entry was marked, if it was.
    pub(super) fn marked_at(
        &self,
        identity: Option<&LogIdentity>,
        hash: EntryHash,
    ) -> Option<Tick> {
        self.marks.get(&(identity.cloned(), hash)).copied()
    }

    /// Remembers that every target has applied the entry.
    pub(super) fn mark(&mut self, identity: Option<LogIdentity>, hash: EntryHash, now: Tick) {
        let mark = (identity, hash);
        if self.marks.insert(mark.clone(), now).is_none() {
            self.order.push_back(mark);
            if self.order.len() > self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.marks.remove(&oldest);
            }
        }
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
}
