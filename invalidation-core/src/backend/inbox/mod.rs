//! A subscription's buffer: bounded, and overflow becomes a gap.

mod limits;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use crate::{Error, ErrorKind, Frame, GapReason, Signal};

pub use limits::InboxLimits;

/// What came for one subscriber, and was not taken yet: the end of who reads the link, which fills it and never waits.
///
/// # Contract
/// - **Bounds.** No more wait than the [limits](InboxLimits) say, in number and in bytes. What is no frame takes no room,
///   however much of it comes (`P18`).
/// - **Overflow.** A frame that finds no room is dropped, and [`Gap(Overflow)`](GapReason::Overflow) is told: before any
///   frame that was put later, and one for all that were dropped until then. It goes ahead of frames that wait, but after
///   such a gap one of these is told before the next: who is too slow all the time gets on nevertheless.
/// - **Order.** Frames are told in the order in which they were put. Gaps go ahead of them, then the nudge, one of each
///   until it is told: what came before that is covered by it.
/// - **Wake-ups.** Whatever there is to tell wakes the task that polled last, and found nothing.
/// - **End.** A [lost](Self::lose) link is told once, after all that waits; a [closed](Self::close) inbox ends at once, and
///   drops what waits. What comes after either is dropped. An inbox that is dropped, be it by a task that panicked or was
///   aborted, and has not ended, is a lost link.
/// - **Concurrency.** Each call is one short step under a lock of this subscription alone, which no waker meets. Several
///   subscriptions have an inbox each.
#[derive(Debug)]
pub struct Inbox {
    contents: Arc<Mutex<Contents>>,
    limits: InboxLimits,
}

/// The subscriber's end of an [`Inbox`]: a [`Subscription`](crate::Subscription) once it is boxed.
///
/// A signal leaves it only by being told, so that nothing is lost by a future that waited for the next and was dropped.
/// After the end it is [`None`], always. Dropping it drops what waits and all that is put later, and then the guard, by
/// which the link's task hears of it.
#[derive(Debug)]
pub struct InboxReader<G> {
    contents: Arc<Mutex<Contents>>,
    _guard: G,
}

#[derive(Debug, Default)]
struct Contents {
    frames: VecDeque<Frame>,
    /// Of the frames, together.
    bytes: usize,
    heard: u64,
    overflow: bool,
    /// Whether that was the last that was told, but for other gaps and nudges.
    told_overflow: bool,
    /// One of each.
    gaps: SmallVec<[GapReason; 4]>,
    nudge: bool,
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum End {
    Lost(Error),
    /// There is nothing more to tell.
    Closed,
}

impl Inbox {
    /// An empty one, and its reader, which drops `guard` when it is dropped.
    pub fn new<G>(limits: InboxLimits, guard: G) -> (Self, InboxReader<G>) {
        let contents = Arc::<Mutex<Contents>>::default();
        let inbox = Self {
            contents: Arc::clone(&contents),
            limits,
        };
        let reader = InboxReader {
            contents,
            _guard: guard,
        };
        (inbox, reader)
    }

    /// Takes frames that came together. How many of them found no room.
    ///
    /// They are asked for while this subscription's lock is held: have them at hand.
    pub fn put(&self, frames: impl IntoIterator<Item = Frame>) -> usize {
        let mut contents = self.contents.lock();
        contents.heard += 1;
        if contents.end.is_some() {
            return 0;
        }
        let mut dropped = 0;
        for frame in frames {
            if contents.has_room(&frame, self.limits) {
                contents.bytes += frame.bytes.len();
                contents.frames.push_back(frame);
            } else {
                contents.overflow = true;
                dropped += 1;
            }
        }
        wake(contents);
        dropped
    }

    /// Something may be lost, for another reason than want of room here.
    pub fn gap(&self, reason: GapReason) {
        let mut contents = self.contents.lock();
        contents.heard += 1;
        if contents.end.is_none() && !contents.gaps.contains(&reason) {
            contents.gaps.push(reason);
        }
        wake(contents);
    }

    /// The log is to be read.
    pub fn nudge(&self) {
        let mut contents = self.contents.lock();
        contents.heard += 1;
        contents.nudge |= contents.end.is_none();
        wake(contents);
    }

    /// How often anything has been put, also after the end: one more is a sign of life of the link.
    pub fn heard(&self) -> u64 {
        self.contents.lock().heard
    }

    /// Ends it after what waits. Whether it had not ended yet: of several reasons the first is told.
    pub fn lose(&self, error: Error) -> bool {
        let mut contents = self.contents.lock();
        let is_first = contents.end.is_none();
        contents.end.get_or_insert(End::Lost(error));
        wake(contents);
        is_first
    }

    /// Ends it at once. Idempotent.
    pub fn close(&self) {
        empty(self.contents.lock());
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let message = "the task that listened has ended: subscribe again";
        let backend = self.limits.backend;
        self.lose(Error::new(
            ErrorKind::Unavailable,
            backend,
            "subscribe",
            message,
        ));
    }
}

impl<G> Drop for InboxReader<G> {
    fn drop(&mut self) {
        empty(self.contents.lock());
    }
}

impl<G> Stream for InboxReader<G> {
    type Item = Result<Signal, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut contents = self.contents.lock();
        if let Some(signal) = contents.next() {
            return Poll::Ready(Some(Ok(signal)));
        }
        if let Some(end) = contents.end.take() {
            contents.end = Some(End::Closed);
            return Poll::Ready(match end {
                End::Lost(error) => Some(Err(error)),
                End::Closed => None,
            });
        }
        let earlier = contents.waker.replace(context.waker().clone());
        drop(contents);
        // It may be the last that is left of a task.
        drop(earlier);
        Poll::Pending
    }
}

impl Contents {
    /// One that waits alone always has.
    fn has_room(&self, frame: &Frame, limits: InboxLimits) -> bool {
        self.frames.is_empty()
            || self.frames.len() < limits.frames
                && self.bytes.saturating_add(frame.bytes.len()) <= limits.bytes
    }

    fn next(&mut self) -> Option<Signal> {
        // With frames before it that were there when others were dropped: the first has room.
        let may_wait = self.told_overflow && !self.frames.is_empty();
        if self.overflow && !may_wait {
            self.overflow = false;
            self.told_overflow = true;
            return Some(Signal::Gap(GapReason::Overflow));
        }
        if !self.gaps.is_empty() {
            return Some(Signal::Gap(self.gaps.remove(0)));
        }
        if std::mem::take(&mut self.nudge) {
            return Some(Signal::Nudge);
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.bytes.len();
        self.told_overflow = false;
        Some(Signal::Frame(frame))
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

/// Leaves nothing to tell but the end.
fn empty(mut contents: MutexGuard<'_, Contents>) {
    let left = Contents {
        heard: contents.heard,
        end: Some(End::Closed),
        waker: contents.waker.take(),
        ..Contents::default()
    };
    let waiting = std::mem::replace(&mut *contents, left);
    wake(contents);
    // Who waits for an acknowledgement hears of it with the lock released.
    drop(waiting);
}
