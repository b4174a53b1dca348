//! Reading a subscription as a case does: with deadlines, and with words for what came instead.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use invalidation_core::{Frame, Signal, Subscription};
use tokio::time::Instant;

use super::Member;
use crate::wait::{PATIENCE, within};

/// One subscription, and what it has told but frames.
pub(super) struct Listener {
    who: String,
    subscription: Subscription,
    /// Gaps and nudges, in words.
    told: Vec<String>,
}

/// What a subscription yields, without a gap's reason.
pub(super) enum Heard {
    Frame(Frame),
    /// Something may have been lost, in words.
    Gap(String),
    /// The subscription ended, in words.
    End(String),
}

impl Listener {
    /// Subscribes; panics when that fails.
    pub(super) async fn at(member: &Member) -> Self {
        let subscribing = within("subscribe", PATIENCE, member.transport.subscribe());
        match subscribing.await {
            Ok(subscription) => Self::on(member, subscription),
            Err(error) => panic!(
                "expected node {} to subscribe, and it failed: {error}",
                member.id
            ),
        }
    }

    /// Reads this subscription of `member`.
    pub(super) fn on(member: &Member, subscription: Subscription) -> Self {
        Self {
            who: format!("node {}", member.id),
            subscription,
            told: Vec::new(),
        }
    }

    /// All of them, in order.
    pub(super) async fn at_all(members: &[Member]) -> Vec<Self> {
        let mut listeners = Vec::new();
        for member in members {
            listeners.push(Self::at(member).await);
        }
        listeners
    }

    /// The next frame, or what says that one may have been lost. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            match self.subscription.next().await {
                Some(Ok(Signal::Frame(frame))) => return Heard::Frame(frame),
                Some(Ok(Signal::Nudge)) => self.told.push("a nudge".into()),
                Some(Ok(Signal::Gap(reason))) => return Heard::Gap(format!("a gap ({reason})")),
                Some(Ok(other)) => self.told.push(format!("{other:?}")),
                Some(Err(error)) => return Heard::End(format!("its end ({error})")),
                None => return Heard::End("its end".into()),
            }
        }
    }

    /// The next frame, past gaps; panics when none comes, saying for `what` this waited.
    pub(super) async fn next_frame(&mut self, what: &str) -> Frame {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, self.hear()).await {
                Ok(Heard::Frame(frame)) => return frame,
                Ok(Heard::End(end)) => panic!(
                    "expected {what} at {}, and the subscription told {end}{}",
                    self.who,
                    self.told_too()
                ),
                Ok(Heard::Gap(gap)) => self.told.push(gap),
                Err(_) => panic!(
                    "expected {what} at {}, and no frame came within {PATIENCE:?}{}",
                    self.who,
                    self.told_too()
                ),
            }
        }
    }

    /// The next frame, which must be this one.
    pub(super) async fn expect(&mut self, bytes: impl AsRef<[u8]>) -> Frame {
        let expected = show(bytes.as_ref());
        let frame = self.next_frame(&format!("frame {expected}")).await;
        assert!(
            frame.bytes == bytes.as_ref(),
            "expected frame {expected} at {}, and got frame {}{}",
            self.who,
            show(&frame.bytes),
            self.told_too()
        );
        frame
    }

    /// Exactly these frames in any order, one of them possibly more than once.
    pub(super) async fn expect_all(&mut self, expected: &[Bytes]) {
        let mut missing: BTreeMap<&Bytes, ()> = expected.iter().map(|bytes| (bytes, ())).collect();
        let deadline = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            let heard = tokio::time::timeout_at(deadline, self.hear()).await;
            match heard {
                Ok(Heard::Frame(frame)) => {
                    assert!(
                        expected.contains(&frame.bytes),
                        "expected {} frames at {}, and got one that nobody sent: {}",
                        expected.len(),
                        self.who,
                        show(&frame.bytes)
                    );
                    missing.remove(&frame.bytes);
                }
                Ok(Heard::Gap(gap)) => self.told.push(gap),
                Ok(Heard::End(end)) => panic!(
                    "expected {} frames at {}, and the subscription told {end}; missing: {}{}",
                    expected.len(),
                    self.who,
                    list(missing.into_keys()),
                    self.told_too()
                ),
                Err(_) => panic!(
                    "expected {} frames at {}; missing after {PATIENCE:?}: {}{}",
                    expected.len(),
                    self.who,
                    list(missing.into_keys()),
                    self.told_too()
                ),
            }
        }
    }

    /// Panics when a frame comes within `period` that `unwanted` picks.
    pub(super) async fn never(
        &mut self,
        what: &str,
        period: Duration,
        unwanted: impl Fn(&Frame) -> bool,
    ) {
        let end = Instant::now() + period;
        while let Ok(heard) = tokio::time::timeout_at(end, self.hear()).await {
            match heard {
                Heard::Frame(frame) => assert!(
                    !unwanted(&frame),
                    "expected never to see {what} at {}, and got frame {} ({:?})",
                    self.who,
                    show(&frame.bytes),
                    frame.sender
                ),
                // Its end: nothing comes any more.
                Heard::End(_) => return,
                Heard::Gap(gap) => self.told.push(gap),
            }
        }
    }

    fn told_too(&self) -> String {
        if self.told.is_empty() {
            return String::new();
        }
        format!("; it told before: {}", self.told.join(", "))
    }
}

/// A frame in words: short text as it is, all else by its length and how it begins.
pub(super) fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if (1..=60).contains(&text.len()) && text.chars().all(|c| !c.is_control()) => {
            format!("{text:?}")
        }
        _ => {
            let begin: Vec<_> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
            format!("of {} bytes [{}]", bytes.len(), begin.join(" "))
        }
    }
}

/// The first ten frames in words, and how many more there are.
pub(super) fn list<'a>(frames: impl IntoIterator<Item = &'a Bytes>) -> String {
    let all: Vec<_> = frames.into_iter().map(|bytes| show(bytes)).collect();
    let more = all.len().saturating_sub(10);
    let mut text = all[..all.len() - more].join(", ");
    if more > 0 {
        text = format!("{text} and {more} more");
    }
    text
}
