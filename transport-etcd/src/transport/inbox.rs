//! A subscription's buffer, and what of it is counted.

use invalidation_core::{
    Error, Frame, GapReason, Sender,
    backend::{self, InboxLimits, InboxReader},
};
use metrics::counter;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::value::Value;
use crate::error::BACKEND;

/// The watching task's end.
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: backend::Inbox,
    sender: Sender,
}

/// The reader's end. Dropping it ends the watching task.
pub(super) type Reader = InboxReader<DropGuard>;

/// A buffer of so many frames, which come from `sender`; the token ends when its reader goes.
pub(super) fn pair(max_frames: usize, sender: Sender, stop: CancellationToken) -> (Inbox, Reader) {
    let limits = InboxLimits::new(BACKEND, max_frames);
    let (waiting, reader) = backend::Inbox::new(limits, stop.drop_guard());
    (Inbox { waiting, sender }, reader)
}

impl Inbox {
    /// Takes what a put says, without waiting.
    pub(super) fn put(&self, value: Value) {
        match value {
            Value::Frames(frames) => {
                let frames = frames.into_iter();
                let dropped = self
                    .waiting
                    .put(frames.map(|bytes| Frame::new(bytes, self.sender)));
                if dropped > 0 {
                    counter!("cache_invalidation_etcd_subscription_overflows_total")
                        .increment(dropped as u64);
                }
            }
            Value::Own => {}
            Value::Nudge => self.waiting.nudge(),
            Value::Unreadable => {
                counter!("cache_invalidation_etcd_unreadable_total").increment(1);
                self.waiting.gap(GapReason::FrameUnreadable);
            }
        }
    }

    /// Ends the subscription after what waits in it.
    pub(super) fn lose(&self, error: Error) {
        if self.waiting.lose(error) {
            counter!("cache_invalidation_etcd_links_lost_total").increment(1);
        }
    }

    /// Ends the subscription at once.
    pub(super) fn close(&self) {
        self.waiting.close();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{FutureExt as _, StreamExt as _};
    use invalidation_core::{ErrorKind, Signal};

    use super::*;
    use crate::{error::error, transport::value::MAX_FRAME};

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

    /// `P18`: large frames are bounded by their bytes: 64 MiB of them wait, and what is above is one gap, be it in a value
    /// of which a part was taken. Room comes back as they are read.
    #[test]
    fn bytes_are_bounded() {
        const FIT: usize = (64 << 20) / MAX_FRAME;
        let (inbox, mut reader) = pair(1_024, Sender::Unknown, CancellationToken::new());
        let large = Bytes::from(vec![0; MAX_FRAME]);
        (0..1_000).for_each(|_| inbox.put(Value::Frames(vec![large.clone(); 3])));
        assert_eq!(next(&mut reader).as_deref(), Some("overflow"));
        for _ in 0..FIT {
            assert_eq!(next(&mut reader).as_deref(), Some("frame"));
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
        for expected in ["the task that listened has ended: subscribe again", "end"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        let (inbox, mut reader) = two();
        inbox.put(frame());
        inbox.close();
        assert_eq!(next(&mut reader).as_deref(), Some("end"));
    }
}
