//! A subscription's buffer, and what of it is counted.

use invalidation_core::{
    Error, Frame, GapReason, Sender,
    backend::{self, InboxLimits, InboxReader},
};
use metrics::counter;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::payload::Payload;
use crate::error::BACKEND;

/// The listening task's end.
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: backend::Inbox,
    sender: Sender,
}

/// The reader's end. Dropping it ends the listening task.
pub(super) type Reader = InboxReader<DropGuard>;

/// A buffer of so many frames, which come from `sender`; the token ends when its reader goes.
pub(super) fn pair(max_frames: usize, sender: Sender, stop: CancellationToken) -> (Inbox, Reader) {
    let limits = InboxLimits::new(BACKEND, max_frames);
    let (waiting, reader) = backend::Inbox::new(limits, stop.drop_guard());
    (Inbox { waiting, sender }, reader)
}

impl Inbox {
    /// Takes what a notification says, without waiting.
    pub(super) fn put(&self, payload: Payload) {
        match payload {
            Payload::Frame(bytes) => {
                if self.waiting.put([Frame::new(bytes, self.sender)]) > 0 {
                    counter!("cache_invalidation_postgres_subscription_overflows_total")
                        .increment(1);
                }
            }
            Payload::Nudge => self.waiting.nudge(),
            Payload::Unreadable => {
                counter!("cache_invalidation_postgres_unreadable_total").increment(1);
                self.waiting.gap(GapReason::FrameUnreadable);
            }
        }
    }

    /// Ends the subscription after what waits in it.
    pub(super) fn lose(&self, error: Error) {
        if self.waiting.lose(error) {
            counter!("cache_invalidation_postgres_links_lost_total").increment(1);
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
    use invalidation_core::Signal;

    use super::*;
    use crate::transport::failure::link_lost;

    fn two() -> (Inbox, Reader) {
        pair(2, Sender::Unknown, CancellationToken::new())
    }

    fn frame() -> Payload {
        Payload::Frame(Bytes::from_static(b"x"))
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
        (0..5).for_each(|_| inbox.put(Payload::Unreadable));
        (0..5).for_each(|_| inbox.put(Payload::Nudge));
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
        inbox.lose(link_lost("lost"));
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
