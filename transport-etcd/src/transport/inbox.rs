//! A subscription's buffer: bounded, and overflow becomes a gap.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::Stream;
use invalidation_core::{Error, ErrorKind, Frame, GapReason, Sender, Signal};
use metrics::counter;
use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::value::Value;
use crate::error::error;

/// The watching task's end. When it is dropped, however that comes, the subscription ends.
#[derive(Debug)]
pub(super) struct Inbox {
    contents: Arc<Mutex<Contents>>,
    max_frames: usize,
    sender: Sender,
}

/// The reader's end. Dropping it ends the watching task.
#[derive(Debug)]
pub(super) struct Reader {
    contents: Arc<Mutex<Contents>>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Contents {
    frames: VecDeque<Frame>,
    /// Signals to be told, one of each: what came before one is told is covered by it (`P18`).
    overflow: bool,
    unreadable: bool,
    nudge: bool,
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum End {
    /// The link was lost: told after what came over it.
    Lost(Error),
    /// Nobody waits for more.
    Closed,
}

/// A buffer of so many frames, which come from `sender`; the token ends when its reader goes.
pub(super) fn pair(max_frames: usize, sender: Sender, stop: CancellationToken) -> (Inbox, Reader) {
    let contents = Arc::<Mutex<Contents>>::default();
    let inbox = Inbox {
        contents: Arc::clone(&contents),
        max_frames,
        sender,
    };
    let reader = Reader {
        contents,
        _stop: stop.drop_guard(),
    };
    (inbox, reader)
}

impl Inbox {
    /// Takes what a put says, without waiting.
    pub(super) fn put(&self, value: Value) {
        let mut contents = self.contents.lock();
        match value {
            Value::Frames(frames) => {
                for bytes in frames {
                    if contents.frames.len() < self.max_frames {
                        contents.frames.push_back(Frame::new(bytes, self.sender));
                    } else {
                        counter!("cache_invalidation_etcd_subscription_overflows_total")
                            .increment(1);
                        contents.overflow = true;
                    }
                }
            }
            Value::Own => return,
            Value::Nudge => contents.nudge = true,
            Value::Unreadable => {
                counter!("cache_invalidation_etcd_unreadable_total").increment(1);
                contents.unreadable = true;
            }
        }
        wake(contents);
    }

    /// Ends the subscription after what waits in it.
    pub(super) fn lose(&self, error: Error) {
        counter!("cache_invalidation_etcd_links_lost_total").increment(1);
        let mut contents = self.contents.lock();
        contents.end = Some(End::Lost(error));
        wake(contents);
    }

    /// Ends the subscription at once.
    pub(super) fn close(&self) {
        let mut contents = self.contents.lock();
        contents.frames.clear();
        contents.end = Some(End::Closed);
        wake(contents);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut contents = self.contents.lock();
        contents.end.get_or_insert_with(|| End::Lost(ended()));
        wake(contents);
    }
}

fn ended() -> Error {
    error(
        ErrorKind::Unavailable,
        "subscribe",
        "the task that watched has ended: subscribe again",
    )
}

/// Wakes the reader with the lock released, so that it does not meet it.
fn wake(mut contents: MutexGuard<'_, Contents>) {
    let waker = contents.waker.take();
    drop(contents);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Stream for Reader {
    type Item = Result<Signal, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut contents = self.contents.lock();
        let signal = if matches!(contents.end, Some(End::Closed)) {
            return Poll::Ready(None);
        } else if std::mem::take(&mut contents.overflow) {
            Signal::Gap(GapReason::Overflow)
        } else if std::mem::take(&mut contents.unreadable) {
            Signal::Gap(GapReason::FrameUnreadable)
        } else if std::mem::take(&mut contents.nudge) {
            Signal::Nudge
        } else if let Some(frame) = contents.frames.pop_front() {
            Signal::Frame(frame)
        } else if let Some(end) = contents.end.take() {
            contents.end = Some(End::Closed);
            return Poll::Ready(match end {
                End::Lost(error) => Some(Err(error)),
                End::Closed => None,
            });
        } else {
            contents.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(Some(Ok(signal)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn two() -> (Inbox, Reader) {
        pair(2, Sender::Unknown, CancellationToken::new())
    }

    fn frame() -> Value {
        Value::Frames(vec![Bytes::from_static(b"x")])
    }

    fn lost() -> Error {
        error(ErrorKind::Unavailable, "subscribe", "lost")
    }

    fn next(reader: &mut Reader) -> Option<String> {
        let next = reader.next().now_or_never()?;
        Some(match next {
            Some(Ok(Signal::Frame(_))) => "frame".to_owned(),
            Some(Ok(Signal::Gap(reason))) => reason.to_string(),
            Some(Ok(_)) => "nudge".to_owned(),
            Some(Err(error)) => error.message.into_owned(),
            None => "end".to_owned(),
        })
    }

    /// `P10`, `P18`: what is above the bound is one gap, and it receives again.
    #[test]
    fn overflow_is_a_gap() {
        let (inbox, mut reader) = two();
        (0..5).for_each(|_| inbox.put(frame()));
        for expected in ["overflow", "frame", "frame"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        assert_eq!(next(&mut reader), None);
        inbox.put(frame());
        assert_eq!(next(&mut reader).as_deref(), Some("frame"));
    }

    /// `P18`: strangers fill nothing, however much nonsense they send.
    #[test]
    fn nonsense_takes_no_room() {
        let (inbox, mut reader) = two();
        (0..5).for_each(|_| inbox.put(Value::Unreadable));
        (0..5).for_each(|_| inbox.put(Value::Nudge));
        inbox.put(frame());
        for expected in ["frame_unreadable", "nudge", "frame"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        assert_eq!(next(&mut reader), None);
    }

    /// A lost link is told after what came over it, and a task that ends in any way is one.
    #[test]
    fn its_end_is_told() {
        let (inbox, mut reader) = two();
        inbox.put(frame());
        inbox.lose(lost());
        drop(inbox);
        for expected in ["frame", "lost", "end", "end"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        let (inbox, mut reader) = two();
        drop(inbox);
        for expected in ["the task that watched has ended: subscribe again", "end"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        let (inbox, mut reader) = two();
        inbox.put(frame());
        inbox.close();
        assert_eq!(next(&mut reader).as_deref(), Some("end"));
    }
}
