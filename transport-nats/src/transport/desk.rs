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
use tokio::time::Sleep;

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

/// The reader's end.
pub(super) struct Reader {
    pub(super) desk: Arc<Desk>,
    pub(super) state: Arc<State>,
    pub(super) subjects: Subjects,
    pub(super) sender: Sender,
    /// In a cluster of servers: until the others know of this subscription.
    pub(super) settling: Option<Pin<Box<Sleep>>>,
    pub(super) is_over: bool,
}

impl Reader {
    /// The next message that means something here; `None` when there will be no more.
    fn poll_message(&self, context: &mut Context<'_>) -> Poll<Option<Said>> {
        let mut contents = self.desk.contents.lock();
        let Some(subscriber) = &mut contents.subscriber else {
            return Poll::Ready(None);
        };
        loop {
            match subscriber.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => match self.subjects.read(message) {
                    Said::Test => {}
                    said => return Poll::Ready(Some(said)),
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

    /// A gap that is to be told before anything else.
    fn gap(&mut self, context: &mut Context<'_>) -> Option<GapReason> {
        let mut contents = self.desk.contents.lock();
        if std::mem::take(&mut contents.overflow) {
            return Some(GapReason::Overflow);
        }
        if std::mem::take(&mut contents.doubt) {
            return Some(GapReason::LinkLost);
        }
        drop(contents);
        if let Some(settling) = &mut self.settling
            && settling.as_mut().poll(context).is_ready()
        {
            self.settling = None;
            return Some(GapReason::LinkLost);
        }
        None
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
        if let Some(reason) = self.gap(context) {
            return Poll::Ready(Some(Ok(Signal::Gap(reason))));
        }
        let Poll::Ready(said) = self.poll_message(context) else {
            return Poll::Pending;
        };
        let signal = match said {
            Some(Said::Frame(bytes)) => Signal::Frame(Frame::new(bytes, self.sender)),
            Some(Said::Nudge) => Signal::Nudge,
            Some(Said::Unreadable | Said::Test) => {
                counter!("cache_invalidation_nats_unreadable_total").increment(1);
                Signal::Gap(GapReason::FrameUnreadable)
            }
            None => return Poll::Ready(self.end()),
        };
        Poll::Ready(Some(Ok(signal)))
    }
}
