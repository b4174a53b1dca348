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
    CacheInvalidationTransport, Error, ErrorKind, GapReason, MemoryTransport, Signal, Subscription,
};
use tokio::time::{Instant, timeout};

/// What an honest subscription keeps in mind.
struct Pinging {
    stream: Subscription,
    silent: Arc<AtomicBool>,
    answered: Instant,
    ended: bool,
}

/// Ends when pings stay without an answer for as long.
pub(super) fn pinging(
    stream: Subscription,
    silent: Arc<AtomicBool>,
    limit: Duration,
) -> Subscription {
    let state = Pinging {
        stream,
        silent,
        answered: Instant::now(),
        ended: false,
    };
    let next = move |mut state: Pinging| async move {
        if state.ended {
            return None;
        }
        loop {
            match timeout(limit / 10, state.stream.next()).await {
                Ok(item) => return Some((item?, state)),
                Err(_) if !state.silent.load(Ordering::SeqCst) => state.answered = Instant::now(),
                Err(_) if state.answered.elapsed() < limit / 2 => {}
                Err(_) => {
                    state.ended = true;
                    let message = "no ping was answered";
                    let lost = Error::new(ErrorKind::TimedOut, "wrong", "subscribe", message);
                    return Some((Err(lost), state));
                }
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
    let next = |(mut stream, transport): (Subscription, MemoryTransport)| async move {
        loop {
            match stream.next().await {
                Some(Ok(signal)) => return Some((Ok(signal), (stream, transport))),
                Some(Err(_)) => loop {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if let Ok(again) = transport.subscribe().await {
                        stream = again;
                        break;
                    }
                },
                None => return None,
            }
        }
    };
    stream::unfold((stream, transport), next).boxed()
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
