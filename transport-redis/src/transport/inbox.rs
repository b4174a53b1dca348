//! A subscription's buffer, and what of it is counted. The task that reads the connection fills it directly.

use invalidation_core::{
    Error, Frame, GapReason, Sender,
    backend::{self, InboxLimits, InboxReader},
};
use metrics::counter;
use redis::{
    PushInfo, PushKind, Value,
    aio::{AsyncPushSender, SendError},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    failure::link_lost,
    payload::{self, Payload},
};
use crate::error::BACKEND;

/// The connection's end.
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: backend::Inbox,
    sender: Sender,
}

/// The reader's end. Dropping it ends the connection.
pub(super) type Reader = InboxReader<DropGuard>;

/// A buffer of so many frames, which come from `sender`; the token ends when its reader goes.
pub(super) fn pair(max_frames: usize, sender: Sender, stop: CancellationToken) -> (Inbox, Reader) {
    let limits = InboxLimits::new(BACKEND, max_frames);
    let (waiting, reader) = backend::Inbox::new(limits, stop.drop_guard());
    (Inbox { waiting, sender }, reader)
}

impl Inbox {
    /// Takes what a message says, without waiting.
    fn put(&self, payload: Payload) {
        match payload {
            Payload::Frame(bytes) => {
                if self.waiting.put([Frame::new(bytes, self.sender)]) > 0 {
                    counter!("cache_invalidation_redis_subscription_overflows_total").increment(1);
                }
            }
            Payload::Nudge => self.waiting.nudge(),
            Payload::Unreadable => {
                counter!("cache_invalidation_redis_unreadable_total").increment(1);
                self.waiting.gap(GapReason::FrameUnreadable);
            }
        }
    }

    /// How many messages have ever come: one more is a sign of life.
    pub(super) fn heard(&self) -> u64 {
        self.waiting.heard()
    }

    /// Ends the subscription after what waits in it. The first reason is told.
    pub(super) fn lose(&self, error: Error) {
        if self.waiting.lose(error) {
            counter!("cache_invalidation_redis_links_lost_total").increment(1);
        }
    }

    /// Ends the subscription at once.
    pub(super) fn close(&self) {
        self.waiting.close();
    }
}

impl AsyncPushSender for Inbox {
    fn send(&self, mut push: PushInfo) -> Result<(), SendError> {
        match push.kind {
            PushKind::Message | PushKind::SMessage => self.put(match push.data.pop() {
                Some(Value::BulkString(payload)) => payload::decode(payload.into()),
                _ => Payload::Unreadable,
            }),
            PushKind::Disconnection => self.lose(link_lost(
                "the server ended the connection that listens: subscribe again; where it comes again and again, see the \
                 server's log, and its client-output-buffer-limit for pubsub",
            )),
            PushKind::Unsubscribe | PushKind::SUnsubscribe => self.lose(link_lost(
                "the server ended the subscription: the channel's slot has moved to another node: subscribe again",
            )),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use invalidation_core::Signal;

    use super::*;

    fn two() -> (Inbox, Reader) {
        pair(2, Sender::Unknown, CancellationToken::new())
    }

    fn message(payload: Vec<u8>) -> PushInfo {
        PushInfo {
            kind: PushKind::Message,
            data: vec![
                Value::BulkString(b"channel".to_vec()),
                Value::BulkString(payload),
            ],
        }
    }

    fn push(inbox: &Inbox, push: PushInfo) {
        assert!(inbox.send(push).is_ok());
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
        (0..5).for_each(|_| push(&inbox, message(b"1x".to_vec())));
        for expected in ["overflow", "frame", "frame"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        assert_eq!(next(&mut reader), None);
        push(&inbox, message(b"1x".to_vec()));
        assert_eq!(next(&mut reader).as_deref(), Some("frame"));
    }

    /// `P18`: a few large frames are bounded as well, and room comes back as they are read.
    #[test]
    fn bytes_are_bounded() {
        let (inbox, mut reader) = pair(1_000, Sender::Unknown, CancellationToken::new());
        let large = || message([&b"1"[..], &vec![0; 32 << 20]].concat());
        (0..3).for_each(|_| push(&inbox, large()));
        for expected in ["overflow", "frame"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        push(&inbox, large());
        for expected in ["frame", "frame"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        assert_eq!(next(&mut reader), None);
    }

    /// `P18`: strangers fill nothing, however much nonsense they send.
    #[test]
    fn nonsense_takes_no_room() {
        let (inbox, mut reader) = two();
        (0..5).for_each(|_| push(&inbox, message(b"nonsense".to_vec())));
        (0..5).for_each(|_| push(&inbox, message(Vec::new())));
        push(&inbox, message(b"1x".to_vec()));
        for expected in ["frame_unreadable", "nudge", "frame"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        assert_eq!(next(&mut reader), None);
    }

    /// A lost link is told after what came over it, and once; so is a subscription that the server ended, and a
    /// connection whose task ends in any way.
    #[test]
    fn its_end_is_told() {
        let (inbox, mut reader) = two();
        push(&inbox, message(b"1x".to_vec()));
        inbox.lose(link_lost("lost"));
        push(
            &inbox,
            PushInfo {
                kind: PushKind::Disconnection,
                data: Vec::new(),
            },
        );
        drop(inbox);
        for expected in ["frame", "lost", "end", "end"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        for (kind, expected) in [
            (PushKind::Disconnection, "ended the connection"),
            (PushKind::SUnsubscribe, "slot has moved"),
        ] {
            let (inbox, mut reader) = two();
            let data = Vec::new();
            push(&inbox, PushInfo { kind, data });
            assert!(next(&mut reader).is_some_and(|end| end.contains(expected)));
        }
        let (inbox, mut reader) = two();
        drop(inbox);
        for expected in ["the task that listened has ended: subscribe again", "end"] {
            assert_eq!(next(&mut reader).as_deref(), Some(expected));
        }
        let (inbox, mut reader) = two();
        push(&inbox, message(b"1x".to_vec()));
        inbox.close();
        assert_eq!(next(&mut reader).as_deref(), Some("end"));
    }
}
