//! Refuses replayed requests: a 64-wide window of counters for each session.
//!
//! A session is a number that this node hands out in the answer to a hello, rising and never repeated while
//! the node's boot id lasts. Handing one out keeps nothing, so that a replayed hello costs no memory
//! (`P18`); the window of a session comes to be with its first verified request.
//!
//! The number of windows is bounded. When one is forgotten, the *floor* rises to its session at least, and
//! from then on no window comes to be for a session at or below the floor: the sender is told to say hello
//! again, and gets a higher one. So a request whose window was forgotten can never be replayed; and one of
//! an earlier run of this node is bound to another boot id.

use std::collections::HashMap;

use invalidation_core::NodeId;

use crate::refusal::Refusal;

/// How far a counter may lag behind the highest one seen.
const WIDTH: u64 = 64;

/// The windows of all senders.
#[derive(Debug)]
pub(crate) struct Sessions {
    issued: u64,
    floor: u64,
    bound: usize,
    uses: u64,
    windows: HashMap<u64, Session>,
}

#[derive(Debug)]
struct Session {
    sender: NodeId,
    window: Window,
    last_use: u64,
}

impl Sessions {
    /// Remembers up to `bound` sessions.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            issued: 0,
            floor: 0,
            bound: bound.max(1),
            uses: 0,
            windows: HashMap::new(),
        }
    }

    /// The number of a new session.
    pub(crate) const fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    /// Accepts each counter of a session once. Call it for verified requests only.
    pub(crate) fn accept(
        &mut self,
        sender: NodeId,
        session: u64,
        counter: u64,
    ) -> Result<(), Refusal> {
        self.uses += 1;
        if let Some(known) = self.windows.get_mut(&session) {
            if known.sender != sender {
                return Err(Refusal::UnknownSession);
            }
            if !known.window.accept(counter) {
                return Err(Refusal::Replayed);
            }
            known.last_use = self.uses;
            return Ok(());
        }
        if session <= self.floor || session > self.issued {
            return Err(Refusal::UnknownSession);
        }
        let mut window = Window::default();
        if !window.accept(counter) {
            return Err(Refusal::Replayed);
        }
        if self.windows.len() >= self.bound {
            self.forget_least_used();
        }
        let last_use = self.uses;
        self.windows.insert(
            session,
            Session {
                sender,
                window,
                last_use,
            },
        );
        Ok(())
    }

    /// Rare (only for a new session above the bound), so that a scan will do.
    fn forget_least_used(&mut self) {
        let oldest = self
            .windows
            .iter()
            .min_by_key(|(_, session)| session.last_use)
            .map(|(&number, _)| number);
        if let Some(number) = oldest {
            self.windows.remove(&number);
            self.floor = self.floor.max(number);
        }
    }
}

/// The counters seen, relative to the highest.
#[derive(Debug, Default)]
struct Window {
    highest: u64,
    /// Bit *n*: `highest - n` was seen.
    seen: u64,
}

impl Window {
    /// `true` once for each counter; `false` for one too old to tell. Counters start at 1.
    const fn accept(&mut self, counter: u64) -> bool {
        if counter == 0 {
            return false;
        }
        if counter > self.highest {
            let ahead = counter - self.highest;
            self.seen = if ahead >= WIDTH {
                0
            } else {
                self.seen << ahead
            };
            self.seen |= 1;
            self.highest = counter;
            return true;
        }
        let behind = self.highest - counter;
        if behind >= WIDTH || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// `P18`: no counter is accepted twice, whatever the order; one within the window is accepted once.
        #[test]
        fn each_counter_is_accepted_once(counters in proptest::collection::vec(1u64..200, 0..400)) {
            let mut window = Window::default();
            let mut accepted = HashSet::new();
            let mut highest = 0;
            for counter in counters {
                let fresh = !accepted.contains(&counter) && counter + WIDTH > highest;
                prop_assert_eq!(window.accept(counter), fresh);
                if fresh {
                    accepted.insert(counter);
                }
                highest = highest.max(counter);
            }
        }

        /// `P18`: forgetting sessions never reopens replay, and memory stays bounded.
        #[test]
        fn forgetting_never_reopens(steps in proptest::collection::vec((0u64..12, 1u64..6), 1..300)) {
            let mut sessions = Sessions::new(3);
            let sender = NodeId::from_bytes([1; 16]);
            for _ in 0..10 { sessions.issue(); }
            let mut accepted = HashSet::new();
            for (session, counter) in steps {
                if sessions.accept(sender, session, counter).is_ok() {
                    prop_assert!((1..=10).contains(&session));
                    prop_assert!(accepted.insert((session, counter)));
                }
                prop_assert!(sessions.windows.len() <= 3);
            }
        }
    }

    /// A session is of use to the sender that used it first, and to no other.
    #[test]
    fn a_session_belongs_to_one_sender() {
        let mut sessions = Sessions::new(8);
        let session = sessions.issue();
        let (one, other) = (NodeId::random(), NodeId::random());
        assert_eq!(sessions.accept(one, session, 1), Ok(()));
        assert_eq!(
            sessions.accept(other, session, 2),
            Err(Refusal::UnknownSession)
        );
    }
}
