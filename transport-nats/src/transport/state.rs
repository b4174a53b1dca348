//! What is known of a link: who waits for the server to have taken a frame, who listens, and whether it has ended.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_nats::Subscriber;
use bytes::Bytes;
use invalidation_core::Error;
use metrics::counter;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    desk::Desk,
    failure::{link_lost, refused},
    subjects::Subjects,
};
use crate::{error::duplicate, server::Heard};

pub(super) type Answer = oneshot::Receiver<Result<(), Error>>;
type Reply = oneshot::Sender<Result<(), Error>>;

/// Shared by the link's task, by who uses the link, and by the driver that says what it hears.
#[derive(Debug)]
pub(super) struct State {
    subjects: Subjects,
    inner: Mutex<Inner>,
    /// A fence found no room in the driver's queue, and is to be sent by the link's task.
    pub(super) held_up: Notify,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whose frames are in the driver's queue, and behind no fence.
    waiting: Vec<Reply>,
    /// The fence that is under way.
    fence: Option<Fence>,
    desks: Vec<Weak<Desk>>,
    end: Option<Error>,
}

/// A message of this link to itself. The server takes what comes over one connection in order: when the fence comes
/// back, it has taken all frames that went before it.
#[derive(Debug)]
struct Fence {
    /// Nobody can send it but who has seen it pass the server.
    token: Bytes,
    covers: Vec<Reply>,
    since: Instant,
}

/// What happens to the frames that came before the end, and that nobody has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// They are read still.
    AfterWhatCame,
    AtOnce,
}

impl State {
    pub(super) fn new(subjects: Subjects) -> Self {
        Self {
            subjects,
            inner: Mutex::default(),
            held_up: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    /// One more waits, whose frame is in the driver's queue. The answer, and the fence to send if there is none under
    /// way.
    pub(super) fn wait(&self) -> (Answer, Option<Bytes>) {
        let (reply, answer) = oneshot::channel();
        let mut inner = self.inner.lock();
        if let Some(end) = &inner.end {
            // The receiver is in this function.
            let _ = reply.send(Err(duplicate(end, "publish")));
            return (answer, None);
        }
        inner.waiting.push(reply);
        let fence = match inner.fence {
            Some(_) => None,
            None => inner.next_fence(),
        };
        (answer, fence)
    }

    /// A message came to where fences come: the next fence, if this was the one under way and others wait.
    pub(super) fn came(&self, token: &Bytes) -> Option<Bytes> {
        let (covered, next) = {
            let mut inner = self.inner.lock();
            let fence = inner.fence.take_if(|fence| fence.token == token)?;
            (fence.covers, inner.next_fence())
        };
        for reply in covered {
            // Who asked may have gone.
            let _ = reply.send(Ok(()));
        }
        next
    }

    /// The fence that is under way.
    pub(super) fn fence(&self) -> Option<Bytes> {
        let inner = self.inner.lock();
        inner.fence.as_ref().map(|fence| fence.token.clone())
    }

    /// Whether a fence is under way for so long.
    pub(super) fn waits_for(&self, long: Duration) -> bool {
        let inner = self.inner.lock();
        inner
            .fence
            .as_ref()
            .is_some_and(|fence| fence.since.elapsed() >= long)
    }

    /// Somebody who listens on this link is told what happens to it.
    pub(super) fn attend(&self, subscriber: Subscriber) -> Arc<Desk> {
        let mut inner = self.inner.lock();
        let desk = Arc::new(Desk::new(inner.end.is_none().then_some(subscriber)));
        inner.desks.retain(|desk| desk.strong_count() > 0);
        inner.desks.push(Arc::downgrade(&desk));
        desk
    }

    /// What the driver hears beside messages.
    pub(super) fn heard(&self, what: Heard) {
        match what {
            Heard::Dropped => {
                counter!("cache_invalidation_nats_subscription_overflows_total").increment(1);
                self.desks().iter().for_each(|desk| desk.overflow());
            }
            Heard::LameDuck => self.desks().iter().for_each(|desk| desk.doubt()),
            // None of them leaves a link of which it is known what it does.
            Heard::Said(said) => self.end(refused(&said, &self.subjects), End::AtOnce),
        }
    }

    /// The link is of no more use, for this reason. The first one counts, and what is to be read still is read although
    /// the transport opens another link meanwhile.
    pub(super) fn end(&self, reason: Error, end: End) {
        let (waiting, desks) = {
            let mut inner = self.inner.lock();
            if inner.end.is_some() {
                return;
            }
            inner.end = Some(reason);
            let mut waiting = std::mem::take(&mut inner.waiting);
            waiting.extend(
                inner
                    .fence
                    .take()
                    .into_iter()
                    .flat_map(|fence| fence.covers),
            );
            (waiting, inner.desks())
        };
        self.ended.cancel();
        for reply in waiting {
            let _ = reply.send(Err(self.why("publish")));
        }
        for desk in desks {
            desk.end(end);
        }
    }

    /// Why it ended.
    pub(super) fn why(&self, operation: &'static str) -> Error {
        let inner = self.inner.lock();
        match &inner.end {
            Some(end) => duplicate(end, operation),
            None => duplicate(&link_lost(), operation),
        }
    }

    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    fn desks(&self) -> Vec<Arc<Desk>> {
        self.inner.lock().desks()
    }
}

impl Inner {
    /// A fence behind all that waits.
    fn next_fence(&mut self) -> Option<Bytes> {
        self.waiting.retain(|reply| !reply.is_closed());
        if self.waiting.is_empty() {
            return None;
        }
        let token = Bytes::copy_from_slice(&rand::random::<u128>().to_be_bytes());
        self.fence = Some(Fence {
            token: token.clone(),
            covers: std::mem::take(&mut self.waiting),
            since: Instant::now(),
        });
        Some(token)
    }

    fn desks(&self) -> Vec<Arc<Desk>> {
        self.desks.iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use futures_util::FutureExt as _;
    use invalidation_core::{ClusterName, ErrorKind};

    use super::*;

    fn state() -> State {
        State::new(Subjects::of(&ClusterName::new("x").unwrap()))
    }

    /// A fence answers those whose frames went before it, and no other; the next one is for all that came since.
    #[test]
    fn a_fence_covers_what_went_before_it() {
        let state = state();
        let (mut first, fence) = state.wait();
        let fence = fence.unwrap();
        let (mut second, none) = state.wait();
        let (mut third, still_none) = state.wait();
        assert!(none.is_none() && still_none.is_none());
        assert!(state.came(&Bytes::from_static(b"of a stranger")).is_none());
        assert!(first.try_recv().is_err());
        let next = state.came(&fence).unwrap();
        first.try_recv().unwrap().unwrap();
        assert!(second.try_recv().is_err());
        assert!(state.came(&fence).is_none(), "once more");
        assert!(second.try_recv().is_err());
        assert!(state.came(&next).is_none());
        second.try_recv().unwrap().unwrap();
        third.try_recv().unwrap().unwrap();
    }

    /// Who waits for a link that ends is told why, and so is who comes later.
    #[test]
    fn an_end_answers_everybody() {
        let state = state();
        let (under_way, fence) = state.wait();
        assert!(fence.is_some());
        let (waiting, _) = state.wait();
        state.heard(Heard::Said("Permissions Violation for Publish".into()));
        state.end(link_lost(), End::AfterWhatCame);
        let (later, fence) = state.wait();
        assert!(fence.is_none());
        for answer in [under_way, waiting, later] {
            let error = answer.now_or_never().unwrap().unwrap().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        }
    }

    /// No fence goes out for callers who all have gone.
    #[test]
    fn nobody_waits_for_the_gone() {
        let state = state();
        let (_first, fence) = state.wait();
        drop(state.wait());
        assert!(state.came(&fence.unwrap()).is_none());
        assert!(state.fence().is_none());
    }
}
