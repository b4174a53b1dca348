//! Wrong ways to the other nodes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use invalidation_core::{
    CacheInvalidationTransport as _, Delivery, Destination, Error, ErrorKind, Outgoing, PeerOutcome,
};

use super::{
    harness::{BUFFER, MAX_FRAME},
    net::Silence,
    streams,
    wrong::Wrong,
};

/// From here on frames are large to some.
pub(super) const LARGE: usize = 8 << 10;
/// How many nodes it knows at most.
const A_FEW: usize = 4;
/// How long a frame waits to be written.
const WRITES_AFTER: Duration = Duration::from_millis(20);
/// How long it waits for a peer that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// To all, once the server has it: that is not said when nothing was heard of the server meanwhile.
pub(super) async fn confirmed(from: &Wrong, frame: Outgoing) -> Result<Delivery, Error> {
    let pulse = from.pulse();
    // In this order: a silence that begins after it is not seen now is counted afterwards.
    let missed = pulse.missed();
    let unheard = || pulse.is_missing() || pulse.missed() != missed;
    if !unheard() {
        let published = from.inner.publish(frame).await;
        if published.is_err() || !unheard() {
            return published;
        }
    }
    let message = "the server did not answer";
    Err(Error::new(ErrorKind::TimedOut, "wrong", "publish", message))
}

/// To all, some time after it is said to be sent.
pub(super) async fn by_and_by(from: &Wrong, frame: Outgoing) -> Result<Delivery, Error> {
    from.inner.probe().await?;
    let (inner, under_way) = (from.inner.clone(), from.net.delay());
    tokio::spawn(async move {
        tokio::time::sleep(WRITES_AFTER + under_way).await;
        inner.publish(frame).await
    });
    Ok(Delivery::default())
}

/// To all, by another way, on which it takes longer.
pub(super) fn aside(from: &Wrong, frame: Outgoing) -> Result<Delivery, Error> {
    let inner = from.inner.clone();
    tokio::spawn(async move {
        tokio::time::sleep(WRITES_AFTER).await;
        inner.publish(frame).await
    });
    Ok(Delivery::default())
}

/// To all, in parts, each of which says whether more follow.
pub(super) async fn in_parts(from: &Wrong, frame: Outgoing) -> Result<Delivery, Error> {
    if frame.bytes.len() > MAX_FRAME {
        return from.inner.publish(frame).await;
    }
    let part = |begin: &[u8], bytes: &[u8]| {
        let mut part = frame.clone();
        part.bytes = [begin, bytes].concat().into();
        part
    };
    let mut bytes = &frame.bytes[..];
    while bytes.len() > LARGE {
        let (first, rest) = bytes.split_at(LARGE);
        let mut first = part(streams::MORE, first);
        first.want_ack = false;
        confirmed(from, first).await?;
        tokio::task::yield_now().await;
        bytes = rest;
    }
    confirmed(from, part(streams::LAST, bytes)).await
}

/// To one of the others, another one each time.
pub(super) async fn to_one(from: &Wrong, mut frame: Outgoing) -> Result<Delivery, Error> {
    let others = from.net.others(from.line.id);
    let turn = from.published.fetch_add(1, Ordering::SeqCst);
    if !others.is_empty() && frame.to == Destination::All {
        frame.to = Destination::Node(others[turn % others.len()].id);
    }
    from.inner.publish(frame).await
}

/// To the first of the others.
pub(super) async fn to_a_few(from: &Wrong, frame: &Outgoing) -> Result<Delivery, Error> {
    let mut delivery = Delivery::default();
    for other in from.net.others(from.line.id).iter().take(A_FEW) {
        let mut frame = frame.clone();
        frame.to = Destination::Node(other.id);
        delivery
            .peers
            .extend(from.inner.publish(frame).await?.peers);
    }
    Ok(delivery)
}

/// To each of the others, one after another.
pub(super) async fn in_turn(from: &Wrong, frame: &Outgoing) -> Result<Delivery, Error> {
    let mut delivery = Delivery::default();
    for other in from.net.others(from.line.id) {
        if other.silence.is_now() {
            tokio::time::sleep(PATIENCE).await;
            delivery.peers.extend(timed_out().peers);
            continue;
        }
        let mut frame = frame.clone();
        frame.to = Destination::Node(other.id);
        delivery
            .peers
            .extend(from.inner.publish(frame).await?.peers);
    }
    Ok(delivery)
}

/// To all, once each of them has room.
pub(super) async fn with_room(from: &Wrong, frame: Outgoing) -> Result<Delivery, Error> {
    let others = from.net.others(from.line.id);
    let is_full = |unread: usize| unread >= BUFFER;
    while others
        .iter()
        .any(|other| is_full(other.unread.load(Ordering::SeqCst)))
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for other in others {
        other.unread.fetch_add(1, Ordering::SeqCst);
    }
    from.inner.publish(frame).await
}

/// To all, once it can.
pub(super) async fn once_it_is_back(from: &Wrong, frame: &Outgoing) -> Result<Delivery, Error> {
    loop {
        match from.inner.publish(frame.clone()).await {
            Err(error) if error.kind == ErrorKind::Unavailable => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            published => return published,
        }
    }
}

/// Whether any of the others is not reached.
pub(super) fn is_silent(from: &Wrong) -> bool {
    let others = from.net.others(from.line.id);
    others.iter().any(|other| Silence::is_now(&other.silence))
}

/// A peer did not answer.
pub(super) fn timed_out() -> Delivery {
    let message = "the peer did not answer";
    let error = Error::new(ErrorKind::TimedOut, "wrong", "publish", message);
    let peer = PeerOutcome::new("silent".to_owned(), None, Err(Arc::new(error)));
    Delivery::new(vec![peer])
}
