//! Reading a subscription as a case does: with deadlines, and with words for what came instead.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use invalidation_core::{Frame, Signal, Subscription};
use tokio::time::Instant;

use super::Member;
use crate::{
    secrets::describe,
    wait::{PATIENCE, within},
};

/// One subscription, and what it has told but frames.
///
/// While nothing fails and nothing overflows, a gap is a failure as much as a lost frame is: told for nothing it costs a
/// read of the log, or all that is cached where there is none, and a transport that tells one all the time would pass
/// every case that accepts one. A subscription may begin with one, since what was sent before it is not known.
pub(super) struct Listener {
    who: String,
    subscription: Subscription,
    /// Gaps and nudges, in words.
    told: Vec<String>,
    /// Whether gaps are no failure.
    in_spite_of_gaps: bool,
    /// Whether there was a frame or a gap, after which a gap needs a reason.
    begun: bool,
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
            in_spite_of_gaps: false,
            begun: false,
        }
    }

    /// Takes gaps for nothing: something is broken on purpose, or calls are abandoned.
    pub(super) fn in_spite_of_gaps(mut self) -> Self {
        self.in_spite_of_gaps = true;
        self
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
                Some(Ok(Signal::Frame(frame))) => {
                    self.begun = true;
                    return Heard::Frame(frame);
                }
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
                Ok(Heard::Gap(gap)) => self.take_gap(what, gap),
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

    /// Exactly these frames in any order, each once.
    pub(super) async fn expect_all(&mut self, expected: &[Bytes]) {
        let mut missing: BTreeSet<&Bytes> = expected.iter().collect();
        let what = format!("{} frames", expected.len());
        let deadline = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            let heard = tokio::time::timeout_at(deadline, self.hear()).await;
            match heard {
                Ok(Heard::Frame(frame)) => assert!(
                    missing.remove(&frame.bytes),
                    "expected {what} at {}, each once, and got one {}: {}; missing: {}",
                    self.who,
                    match expected.contains(&frame.bytes) {
                        true => "a second time",
                        false => "that nobody sent",
                    },
                    show(&frame.bytes),
                    list(missing)
                ),
                Ok(Heard::Gap(gap)) => self.take_gap(&what, gap),
                Ok(Heard::End(end)) => panic!(
                    "expected {what} at {}, and the subscription told {end}; missing: {}{}",
                    self.who,
                    list(missing),
                    self.told_too()
                ),
                Err(_) => panic!(
                    "expected {what} at {}; missing after {PATIENCE:?}: {}{}",
                    self.who,
                    list(missing),
                    self.told_too()
                ),
            }
        }
    }

    /// Nothing more comes within `period`: no frame, no gap and no end.
    pub(super) async fn expect_nothing_more(&mut self, period: Duration) {
        if let Ok(heard) = tokio::time::timeout(period, self.hear()).await {
            let what = match heard {
                Heard::Frame(frame) => format!("frame {}", show(&frame.bytes)),
                Heard::Gap(told) | Heard::End(told) => told,
            };
            panic!(
                "expected nothing more at {}, since each frame came and nothing failed, and got {what}{}",
                self.who,
                self.told_too()
            );
        }
    }

    /// Writes down what was told, until nothing comes for `quiet`.
    pub(super) async fn describe_told(mut self, quiet: Duration, shown: &mut String) {
        while let Ok(Some(told)) = tokio::time::timeout(quiet, self.subscription.next()).await {
            let _ = writeln!(shown, "{told:?}");
            if let Err(error) = told {
                describe(shown, &error);
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

    /// A gap while this waits for `what`.
    fn take_gap(&mut self, what: &str, gap: String) {
        assert!(
            self.in_spite_of_gaps || !self.begun,
            "expected {what} at {} and no gap, since nothing was lost, and it told {gap}{}",
            self.who,
            self.told_too()
        );
        self.begun = true;
        self.told.push(gap);
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
