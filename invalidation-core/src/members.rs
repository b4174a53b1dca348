//! Where the nodes of a cluster tell each other how they are reached.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::words::NodeId;

/// The most members that a log hands on (`P18`).
pub const MAX_MEMBERS: usize = 4_096;

/// What a log that keeps members and a transport that looks for peers have in common. Neither calls the other: the
/// transport says here how its node is reached, and the log, whenever it reads its backend anyway, writes that down and
/// tells who else did.
///
/// # Contract
/// **The log promises:**
/// - What is [announced](Self::announce) is in its backend soon after the next read, and is renewed while the node reads.
///   It costs a read no further round trip, and most reads nothing.
/// - A member counts as long as the backend knows that it is there: by a lock that ends with its process, or until a time
///   that it named itself, by the backend's clock alone (`P17`). So one that was killed is gone after that time at the
///   latest, and one whose log was closed at once.
/// - A log that may not write the members still tells the others, and one that may not read them tells nothing; either
///   says so in its log, and reads on (`P15`).
///
/// **The transport promises:** to take what it is told for a hint, since a wrong address costs speed and never safety
/// (`P15`), and to check it as anything that was discovered (`P18`).
///
/// [`InvalidationLog::members`](crate::InvalidationLog::members) gives it, and a node hands it to its transports by
/// [`CacheInvalidationTransport::meet`](crate::CacheInvalidationTransport::meet).
#[derive(Clone, Default)]
pub struct Members(Arc<Inner>);

#[derive(Default)]
struct Inner {
    own: Mutex<Option<Member>>,
    others: watch::Sender<Option<Arc<[Member]>>>,
}

/// A node, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Member {
    /// Which one.
    pub node: NodeId,
    /// In the words of the transport: `http://10.0.0.7:7400`. Who does not know the scheme leaves it out.
    pub address: String,
}

impl Member {
    /// `node` is reached at `address`.
    pub const fn new(node: NodeId, address: String) -> Self {
        Self { node, address }
    }
}

impl Members {
    /// Of one log, with nobody in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how this node is reached, from now on: a later word takes the place of an earlier one.
    pub fn announce(&self, own: Member) {
        *self.0.own.lock() = Some(own);
    }

    /// Who else there is; `None` until the log was read for the first time. A log looks for them only while a receiver
    /// lives, or something is announced.
    pub fn others(&self) -> watch::Receiver<Option<Arc<[Member]>>> {
        self.0.others.subscribe()
    }

    /// For the log: what is announced.
    pub fn own(&self) -> Option<Member> {
        self.0.own.lock().clone()
    }

    /// For the log: whether somebody wants to know who else there is.
    pub fn is_watched(&self) -> bool {
        self.0.others.receiver_count() > 0
    }

    /// For the log: these are the others now, at most [`MAX_MEMBERS`] of them.
    pub fn learn(&self, mut others: Vec<Member>) {
        others.truncate(MAX_MEMBERS);
        others.sort_unstable();
        let others: Arc<[Member]> = others.into();
        self.0.others.send_if_modified(|known| {
            let is_news = known.as_ref() != Some(&others);
            if is_news {
                *known = Some(others);
            }
            is_news
        });
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members")
            .field("own", &*self.0.own.lock())
            .field("others", &*self.0.others.borrow())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn member(number: u8) -> Member {
        Member::new(NodeId::from_bytes([number; 16]), format!("http://{number}"))
    }

    /// Who waits is told of what changed, in whatever order the log found it, and of nothing else.
    #[test]
    fn only_news_is_told() {
        let members = Members::new();
        assert!(!members.is_watched());
        let mut others = members.others();
        assert!(members.is_watched() && others.borrow().is_none());
        members.learn(vec![member(2), member(1)]);
        assert!(others.has_changed().unwrap());
        assert_eq!(
            others.borrow_and_update().as_deref().unwrap(),
            [member(1), member(2)]
        );
        members.learn(vec![member(1), member(2)]);
        assert!(!others.has_changed().unwrap());
        members.learn(Vec::new());
        assert!(others.borrow_and_update().as_deref().unwrap().is_empty());
    }

    /// P18: more than the bound is not remembered.
    #[test]
    fn p18_members_are_bounded() {
        let members = Members::new();
        members.learn(vec![member(1); MAX_MEMBERS + 1]);
        let known = members.others().borrow().clone().unwrap();
        assert_eq!(known.len(), MAX_MEMBERS);
    }
}
