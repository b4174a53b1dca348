//! The subscriptions of this node: bounded inboxes that turn overflow into a gap.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::Stream;
use invalidation_core::{AckSink, Applied, Error, Frame, GapReason, Sender, Signal};
use metrics::counter;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::wire::{Item, ItemOutcome};

/// Every live subscription; each gets every frame.
#[derive(Debug)]
pub(crate) struct Subscribers {
    inboxes: RwLock<Inboxes>,
    max_frames: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Inboxes {
    open: Vec<Arc<Inbox>>,
    closed: bool,
}

/// What became of an item, or who will tell.
#[derive(Debug)]
pub(crate) enum Delivered {
    /// Known already.
    Now(ItemOutcome),
    /// Applied once all of these say so.
    Awaiting(Vec<oneshot::Receiver<Applied>>),
}

impl Subscribers {
    /// Inboxes hold up to `max_frames` frames and about `max_bytes` bytes.
    pub(crate) fn new(max_frames: usize, max_bytes: usize) -> Self {
        Self {
            inboxes: RwLock::default(),
            max_frames,
            max_bytes,
        }
    }

    /// A subscription that is live from now on. `None` once closed.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Option<Inlet> {
        let inbox = Arc::new(Inbox::default());
        let mut inboxes = self.inboxes.write();
        if inboxes.closed {
            return None;
        }
        inboxes.open.push(inbox.clone());
        Some(Inlet {
            inbox,
            subscribers: self.clone(),
        })
    }

    /// Hands every item to every subscription, without waiting. `None` when there is no subscription, so
    /// that nothing is answered as received which nobody will see.
    pub(crate) fn deliver(&self, items: Vec<Item>, sender: Sender) -> Option<Vec<Delivered>> {
        let inboxes = self.inboxes.read();
        if inboxes.open.is_empty() {
            return None;
        }
        let deliver = |item| match item {
            Item::Resync => {
                counter!("cache_invalidation_http_resyncs_total", "direction" => "received")
                    .increment(1);
                for inbox in &inboxes.open {
                    inbox.resync();
                }
                Delivered::Now(ItemOutcome::Received)
            }
            Item::Frame { bytes, want_ack } => {
                let mut acks = Vec::new();
                let mut overflowed = false;
                for inbox in &inboxes.open {
                    let mut frame = Frame::new(bytes.clone(), sender);
                    if want_ack {
                        let (sink, applied) = AckSink::new();
                        frame = frame.with_ack(sink);
                        acks.push(applied);
                    }
                    overflowed |= !inbox.push(frame, self.max_frames, self.max_bytes);
                }
                if overflowed {
                    Delivered::Now(ItemOutcome::Overflowed)
                } else if want_ack {
                    Delivered::Awaiting(acks)
                } else {
                    Delivered::Now(ItemOutcome::Received)
                }
            }
        };
        Some(items.into_iter().map(deliver).collect())
    }

    /// Ends every subscription, and lets nobody subscribe again.
    pub(crate) fn close(&self) {
        let mut inboxes = self.inboxes.write();
        inboxes.closed = true;
        for inbox in inboxes.open.drain(..) {
            inbox.close();
        }
    }

    fn remove(&self, inbox: &Arc<Inbox>) {
        self.inboxes
            .write()
            .open
            .retain(|open| !Arc::ptr_eq(open, inbox));
    }
}

/// One subscription's buffer.
#[derive(Debug, Default)]
struct Inbox(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// A gap to be told. One at a time: what was lost before it is told is covered by it (`P18`).
    overflow: bool,
    resync: bool,
    closed: bool,
    waker: Option<Waker>,
}

impl Inbox {
    /// `false` when it was full: the frame is dropped, and a gap is told instead (`P11`).
    fn push(&self, frame: Frame, max_frames: usize, max_bytes: usize) -> bool {
        let mut contents = self.0.lock();
        let size = frame.bytes.len();
        let full = contents.frames.len() >= max_frames
            || (contents.bytes + size > max_bytes && !contents.frames.is_empty());
        if full {
            counter!("cache_invalidation_http_subscription_overflows_total").increment(1);
            contents.overflow = true;
        } else {
            contents.bytes += size;
            contents.frames.push_back(frame);
        }
        wake(contents);
        !full
    }

    fn resync(&self) {
        let mut contents = self.0.lock();
        contents.resync = true;
        wake(contents);
    }

    fn close(&self) {
        let mut contents = self.0.lock();
        contents.closed = true;
        // Dropped with their acknowledgements, so that no answer waits for them.
        contents.frames.clear();
        wake(contents);
    }
}

/// Wakes the reader with the lock released, so that it does not meet it.
fn wake(mut contents: parking_lot::MutexGuard<'_, Contents>) {
    let waker = contents.waker.take();
    drop(contents);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The reader's end of a subscription; dropping it unsubscribes.
#[derive(Debug)]
pub(crate) struct Inlet {
    inbox: Arc<Inbox>,
    subscribers: Arc<Subscribers>,
}

impl Stream for Inlet {
    type Item = Result<Signal, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut contents = self.inbox.0.lock();
        let signal = if contents.closed {
            return Poll::Ready(None);
        } else if std::mem::take(&mut contents.overflow) {
            Signal::Gap(GapReason::Overflow)
        } else if std::mem::take(&mut contents.resync) {
            Signal::Gap(GapReason::Resync)
        } else if let Some(frame) = contents.frames.pop_front() {
            contents.bytes -= frame.bytes.len();
            Signal::Frame(frame)
        } else {
            contents.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(Some(Ok(signal)))
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.subscribers.remove(&self.inbox);
        self.inbox.close();
    }
}
