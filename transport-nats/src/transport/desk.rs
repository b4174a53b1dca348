//! A subscription: read straight from the driver's own buffer, which is bounded.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_nats::Subscriber;
use futures_util::{Stream, StreamExt as _};
use invalidation_core::{Error, ErrorKind, Frame, GapReason, Sender, Signal};
use metrics::counter;
use parking_lot::{Mutex, MutexGuard};

use super::{
    failure::link_lost,
    state::{End, State},
    subjects::{Said, Subjects},
};

/// What the link's side tells a subscription.
#[derive(Debug)]
pub(super) struct Desk {
    contents: Mutex<Contents>,
}

#[derive(Debug)]
struct Contents {
    /// `None` once it is over.
    subscriber: Option<Subscriber>,
    /// Gaps to be told, one of each.
    overflow: bool,
    doubt: bool,
    waker: Option<Waker>,
}

impl Desk {
    pub(super) fn new(subscriber: Option<Subscriber>) -> Self {
        Self {
            contents: Mutex::new(Contents {
                subscriber,
                overflow: false,
                doubt: false,
                waker: None,
            }),
        }
    }

    /// A message was dropped before it was read.
    pub(super) fn overflow(&self) {
        let mut contents = self.contents.lock();
        contents.overflow = true;
        wake(contents);
    }

    /// Something may be lost.
    pub(super) fn doubt(&self) {
        let mut contents = self.contents.lock();
        contents.doubt = true;
        wake(contents);
    }

    /// The link has ended.
    pub(super) fn end(&self, end: End) {
        let mut contents = self.contents.lock();
        let ended = match end {
            // The driver ends it, behind what came.
            End::AfterWhatCame => None,
            End::AtOnce => contents.subscriber.take(),
        };
        wake(contents);
        drop(ended);
    }
}

/// Wakes the reader with the lock released, so that it does not meet it.
fn wake(mut contents: MutexGuard<'_, Contents>) {
    let waker = contents.waker.take();
    drop(contents);
    if let Some(waker) = waker {
        waker.wake();
    }
}

pub(super) type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What there is to tell.
enum Told {
    Gap(GapReason),
    Said(Said),
}

/// The reader's end.
pub(super) struct Reader {
    pub(super) desk: Arc<Desk>,
    pub(super) state: Arc<State>,
    pub(super) subjects: Subjects,
    pub(super) sender: Sender,
    /// In a cluster of servers: until the others know of this subscription.
    pub(super) settling: Option<Settling>,
    pub(super) is_over: bool,
}

impl Reader {
    /// What is to be told next; `None` when there will be no more. All under one lock, so that whatever is told to the
    /// desk meanwhile is found here, or wakes.
    fn poll_desk(&self, context: &mut Context<'_>) -> Poll<Option<Told>> {
        let mut contents = self.desk.contents.lock();
        if std::mem::take(&mut contents.overflow) {
            return Poll::Ready(Some(Told::Gap(GapReason::Overflow)));
        }
        if std::mem::take(&mut contents.doubt) {
            return Poll::Ready(Some(Told::Gap(GapReason::LinkLost)));
        }
        let Some(subscriber) = &mut contents.subscriber else {
            return Poll::Ready(None);
        };
        loop {
            match subscriber.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => match self.subjects.read(message) {
                    Said::Test => {}
                    said => return Poll::Ready(Some(Told::Said(said))),
                },
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let waker = context.waker();
                    match &contents.waker {
                        Some(known) if known.will_wake(waker) => {}
                        _ => contents.waker = Some(waker.clone()),
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether the other servers have had their time just now.
    fn has_settled(&mut self, context: &mut Context<'_>) -> bool {
        let settled = self
            .settling
            .as_mut()
            .is_some_and(|settling| settling.as_mut().poll(context).is_ready());
        if settled {
            self.settling = None;
        }
        settled
    }

    fn end(&mut self) -> Option<Result<Signal, Error>> {
        self.is_over = true;
        // The link's task may not have seen yet what ended the driver's stream.
        self.state.end(link_lost(), End::AfterWhatCame);
        self.desk.end(End::AtOnce);
        let why = self.state.why("subscribe");
        (why.kind != ErrorKind::Closed).then_some(Err(why))
    }
}

impl Stream for Reader {
    type Item = Result<Signal, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.has_settled(context) {
            return Poll::Ready(Some(Ok(Signal::Gap(GapReason::LinkLost))));
        }
        let Poll::Ready(told) = self.poll_desk(context) else {
            return Poll::Pending;
        };
        let signal = match told {
            Some(Told::Gap(reason)) => Signal::Gap(reason),
            Some(Told::Said(Said::Frame(bytes))) => Signal::Frame(Frame::new(bytes, self.sender)),
            Some(Told::Said(Said::Nudge)) => Signal::Nudge,
            Some(Told::Said(Said::Unreadable | Said::Test)) => {
                counter!("cache_invalidation_nats_unreadable_total").increment(1);
                Signal::Gap(GapReason::FrameUnreadable)
            }
            None => return Poll::Ready(self.end()),
        };
        Poll::Ready(Some(Ok(signal)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use async_nats::ConnectOptions;
    use invalidation_core::ClusterName;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// `P10`: a gap is told although nothing else ever comes, be it that it comes while the reader looks for what there is,
    /// or when it has found nothing.
    #[tokio::test]
    async fn a_gap_alone_is_told() {
        let subjects = Subjects::of(&ClusterName::new("x").unwrap());
        for (tell, expected) in [
            (Desk::overflow as fn(&Desk), GapReason::Overflow),
            (Desk::doubt, GapReason::LinkLost),
        ] {
            // Of no server, and so without messages.
            let connecting = ConnectOptions::new().retry_on_initial_connect();
            let client = connecting.connect("nats://127.0.0.1:1").await.unwrap();
            let subscriber = client.subscribe(subjects.private()).await.unwrap();
            let desk = Arc::new(Desk::new(Some(subscriber)));
            let (told, mut once) = (Arc::clone(&desk), Some(tell));
            let meanwhile = poll_fn(move |_| {
                once.take().into_iter().for_each(|tell| tell(&told));
                Poll::Pending
            });
            let mut reader = Reader {
                desk: Arc::clone(&desk),
                state: Arc::new(State::new(subjects.clone())),
                subjects: subjects.clone(),
                sender: Sender::Unknown,
                settling: Some(Box::pin(meanwhile)),
                is_over: false,
            };
            let woken = Arc::<Woken>::default();
            let waker = Waker::from(Arc::clone(&woken));
            let mut poll = || match reader.poll_next_unpin(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(Ok(Signal::Gap(reason)))) => Some(reason),
                Poll::Ready(other) => panic!("expected a gap, and got {other:?}"),
                Poll::Pending => None,
            };
            assert_eq!(poll(), Some(expected), "a gap that came meanwhile");
            assert_eq!(poll(), None);
            tell(&desk);
            assert_eq!(woken.0.load(Ordering::SeqCst), 1, "{expected}");
            assert_eq!(poll(), Some(expected));
        }
    }
}
