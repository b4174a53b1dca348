//! Subscriptions: the honest one, which pings, and those that hide or change something.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use invalidation_core::{
    CacheInvalidationTransport, Error, ErrorKind, Frame, GapReason, MemoryTransport, Signal,
    Subscription,
};
use tokio::time::{Instant, timeout};

use super::net::{Line, Pulse};

/// What a part begins with behind which more follow, and the last one.
pub(super) const MORE: &[u8] = b"+";
pub(super) const LAST: &[u8] = b".";

/// What an honest subscription keeps in mind.
struct Pinging {
    stream: Subscription,
    pulse: Pulse,
    /// How often the pulse had gone missing when that was last told.
    known: u64,
    missing_since: Option<Instant>,
    ended: bool,
}

impl Pinging {
    /// What its pings say now: the end, when they stay without an answer for so long, or a gap, when they had.
    fn listen(&mut self, limit: Duration) -> Option<Result<Signal, Error>> {
        if !self.pulse.is_missing() {
            self.missing_since = None;
            let missed = self.pulse.missed();
            let lost = std::mem::replace(&mut self.known, missed) != missed;
            return lost.then_some(Ok(Signal::Gap(GapReason::SequenceHole)));
        }
        // What is lost from now on is told when it is over.
        self.known = u64::MAX;
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < limit / 2 {
            return None;
        }
        self.ended = true;
        let message = "no ping was answered";
        let lost = Error::new(ErrorKind::TimedOut, "wrong", "subscribe", message);
        Some(Err(lost))
    }
}

/// Ends when pings stay without an answer for as long as `limit`, and tells a gap when they did for less.
pub(super) fn pinging(stream: Subscription, pulse: Pulse, limit: Duration) -> Subscription {
    let state = Pinging {
        stream,
        known: pulse.missed(),
        pulse,
        missing_since: None,
        ended: false,
    };
    let next = move |mut state: Pinging| async move {
        if state.ended {
            return None;
        }
        loop {
            if let Some(told) = state.listen(limit) {
                return Some((told, state));
            }
            if let Ok(item) = timeout(limit / 20, state.stream.next()).await {
                return Some((item?, state));
            }
        }
    };
    stream::unfold(state, next).boxed()
}

/// Subscribes only when it is read.
pub(super) fn late(transport: MemoryTransport) -> Subscription {
    stream::once(async move { transport.subscribe().await })
        .filter_map(async |subscription| subscription.ok())
        .flatten()
        .boxed()
}

/// Subscribes again by itself when it ends, without a word.
pub(super) fn reconnecting(stream: Subscription, transport: MemoryTransport) -> Subscription {
    reconnecting_if(stream, transport, || true)
}

/// The same, but only if what `count` tells has grown: where the end had this reason.
pub(super) fn reconnecting_after(
    stream: Subscription,
    transport: MemoryTransport,
    count: impl Fn() -> u64 + Clone + Send + Sync + 'static,
) -> Subscription {
    let known = count();
    reconnecting_if(stream, transport, move || count() != known)
}

fn reconnecting_if(
    stream: Subscription,
    transport: MemoryTransport,
    silently: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Subscription {
    let next = move |mut stream: Subscription| {
        let (transport, silently) = (transport.clone(), silently.clone());
        async move {
            loop {
                let error = match stream.next().await? {
                    Ok(signal) => return Some((Ok(signal), stream)),
                    Err(error) => error,
                };
                if !silently() {
                    return Some((Err(error), stream));
                }
                stream = loop {
                    // Some of what is sent once the link is back is lost.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if transport.probe().await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(30)).await;
                    }
                    if let Ok(again) = transport.subscribe().await {
                        break again;
                    }
                };
            }
        }
    };
    stream::unfold(stream, next).boxed()
}

/// Gives the second of two frames first, when it comes soon.
pub(super) fn reordered(stream: Subscription) -> Subscription {
    let next = |(mut stream, held): (Subscription, Option<Result<Signal, Error>>)| async move {
        let first = match held {
            Some(held) => return Some((held, (stream, None))),
            None => stream.next().await?,
        };
        match timeout(Duration::from_millis(20), stream.next()).await {
            Ok(Some(second)) => Some((second, (stream, Some(first)))),
            Ok(None) | Err(_) => Some((first, (stream, None))),
        }
    };
    stream::unfold((stream, None), next).boxed()
}

/// Tells a gap to begin with, and then never that it lost something.
pub(super) fn without_gaps(stream: Subscription) -> Subscription {
    let wanted = |signal: &Result<Signal, Error>| {
        let gap = matches!(signal, Ok(Signal::Gap(GapReason::Overflow)));
        std::future::ready(!gap)
    };
    let first = stream::iter([Ok(Signal::Gap(GapReason::Overflow))]);
    first.chain(stream.filter(wanted)).boxed()
}

/// Tells that it lost something once, and then never again.
pub(super) fn with_one_gap(stream: Subscription) -> Subscription {
    let mut told = false;
    let wanted = move |signal: &Result<Signal, Error>| {
        let gap = matches!(signal, Ok(Signal::Gap(GapReason::Overflow)));
        std::future::ready(!gap || !std::mem::replace(&mut told, true))
    };
    stream.filter(wanted).boxed()
}

/// Puts parts together as they come: the first byte says whether more follow.
pub(super) fn of_parts(stream: Subscription) -> Subscription {
    let mut parts = Vec::new();
    let put_together = move |signal| {
        let whole = match signal {
            Ok(Signal::Frame(mut frame)) => {
                let last = frame.bytes.split_to(1) == LAST;
                parts.extend_from_slice(&frame.bytes);
                last.then(|| {
                    frame.bytes = std::mem::take(&mut parts).into();
                    Ok(Signal::Frame(frame))
                })
            }
            other => Some(other),
        };
        std::future::ready(whole)
    };
    stream.filter_map(put_together).boxed()
}

/// Counts one as long as it has not ended.
pub(super) fn alone(stream: Subscription, alive: Arc<AtomicBool>) -> Subscription {
    struct Alone(Arc<AtomicBool>);
    impl Drop for Alone {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
    let state = (stream, Some(Alone(alive)));
    let next = |(mut stream, mut alone): (Subscription, Option<Alone>)| async move {
        let signal = stream.next().await;
        if !matches!(signal, Some(Ok(_))) {
            alone = None;
        }
        Some((signal?, (stream, alone)))
    };
    stream::unfold(state, next).boxed()
}

/// Tells nothing any more after a gap.
pub(super) fn until_a_gap(stream: Subscription) -> Subscription {
    let next = |(mut stream, over): (Subscription, bool)| async move {
        if over {
            return std::future::pending().await;
        }
        let signal = stream.next().await?;
        let over = matches!(signal, Ok(Signal::Gap(_)));
        Some((signal, (stream, over)))
    };
    stream::unfold((stream, false), next).boxed()
}

/// Tells a gap before each signal.
pub(super) fn with_gaps(stream: Subscription) -> Subscription {
    let next = |signal| stream::iter([Ok(Signal::Gap(GapReason::Resync)), signal]);
    stream.flat_map(next).boxed()
}

/// Gives each frame twice.
pub(super) fn twice(stream: Subscription) -> Subscription {
    let next = |signal| {
        let again = match &signal {
            Ok(Signal::Frame(frame)) => {
                let copy = Frame::new(frame.bytes.clone(), frame.sender);
                Some(Ok(Signal::Frame(copy)))
            }
            _ => None,
        };
        stream::iter([signal].into_iter().chain(again))
    };
    stream.flat_map(next).boxed()
}

/// Tells one gap, once nothing came for a while.
pub(super) fn with_a_gap_afterwards(stream: Subscription) -> Subscription {
    let next = |(mut stream, heard): (Subscription, bool)| async move {
        if heard {
            let quiet = timeout(Duration::from_millis(50), stream.next()).await;
            let Ok(signal) = quiet else {
                return Some((Ok(Signal::Gap(GapReason::Resync)), (stream, false)));
            };
            return Some((signal?, (stream, true)));
        }
        Some((stream.next().await?, (stream, true)))
    };
    stream::unfold((stream, false), next).boxed()
}

/// Counts down what its subscriber has not read.
pub(super) fn counted(stream: Subscription, line: Arc<Line>) -> Subscription {
    let read = move |_: &Result<Signal, Error>| {
        line.unread.fetch_sub(1, Ordering::SeqCst);
    };
    stream.inspect(read).boxed()
}

/// Goes on for ever.
pub(super) fn endless(stream: Subscription) -> Subscription {
    stream.chain(stream::pending()).boxed()
}

/// Hears nothing any more once it was quiet for a second.
pub(super) fn deaf(stream: Subscription) -> Subscription {
    let state = (stream, Instant::now(), false);
    let next = |(mut stream, mut last, mut deaf): (Subscription, Instant, bool)| async move {
        loop {
            let signal = stream.next().await?;
            if matches!(signal, Ok(Signal::Frame(_))) {
                deaf |= last.elapsed() > Duration::from_secs(1);
                last = Instant::now();
                if deaf {
                    continue;
                }
            }
            return Some((signal, (stream, last, deaf)));
        }
    };
    stream::unfold(state, next).boxed()
}
