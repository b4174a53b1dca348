//! Each sentence of the contract.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use super::*;
use crate::{AckSink, Sender};

type Reader = InboxReader<Arc<()>>;

fn of(frames: usize, bytes: usize) -> (Inbox, Reader) {
    let mut limits = InboxLimits::new("test", frames);
    limits.bytes = bytes;
    Inbox::new(limits, Arc::default())
}

fn of_frames(frames: usize) -> (Inbox, Reader) {
    of(frames, usize::MAX)
}

fn frame(text: &'static str) -> Frame {
    Frame::new(Bytes::from_static(text.as_bytes()), Sender::Unknown)
}

fn put(inbox: &Inbox, texts: &[&'static str]) -> usize {
    inbox.put(texts.iter().copied().map(frame))
}

fn lost(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, "test", "subscribe", message)
}

fn in_words(told: Option<Result<Signal, Error>>) -> String {
    match told {
        Some(Ok(Signal::Frame(frame))) => String::from_utf8(frame.bytes.to_vec()).unwrap(),
        Some(Ok(Signal::Gap(reason))) => format!("gap: {reason}"),
        Some(Ok(Signal::Nudge)) => "nudge".to_owned(),
        Some(Err(error)) => format!("lost: {}", error.message),
        None => "end".to_owned(),
    }
}

/// What is told next, if anything.
fn next(reader: &mut Reader) -> Option<String> {
    reader.next().now_or_never().map(in_words)
}

/// All that is told, up to the end.
fn all(reader: &mut Reader) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(next) = next(reader) {
        let is_end = next == "end";
        told.push(next);
        if is_end {
            break;
        }
    }
    told
}

/// `P10`, `P18`: what is above the number is dropped, counted, and one gap ahead of what waits; then it receives again.
#[test]
fn frames_above_the_number_are_one_gap() {
    let (inbox, mut reader) = of_frames(2);
    assert_eq!(put(&inbox, &["1", "2", "3"]), 1);
    assert_eq!(put(&inbox, &["4"]), 1);
    assert_eq!(all(&mut reader), ["gap: overflow", "1", "2"]);
    assert_eq!(put(&inbox, &["5"]), 0);
    assert_eq!(all(&mut reader), ["5"]);
}

/// `P18`: so is what is above the bytes, whatever the number, and room comes back as they are read.
#[test]
fn bytes_above_the_bound_are_one_gap() {
    let (inbox, mut reader) = of(1_000, 6);
    assert_eq!(put(&inbox, &["one", "two", "3", "4"]), 2);
    assert_eq!(next(&mut reader).unwrap(), "gap: overflow");
    assert_eq!(next(&mut reader).unwrap(), "one");
    assert_eq!(put(&inbox, &["six", "7"]), 1);
    assert_eq!(all(&mut reader), ["gap: overflow", "two", "six"]);
    assert_eq!(put(&inbox, &["", "123456", "", "8"]), 1);
    assert_eq!(all(&mut reader), ["gap: overflow", "", "123456", ""]);
}

/// A frame that waits alone has room, so that none is refused always.
#[test]
fn one_alone_always_has_room() {
    let (inbox, mut reader) = of(0, 0);
    assert_eq!(put(&inbox, &["large"]), 0);
    assert_eq!(put(&inbox, &[""]), 1);
    assert_eq!(all(&mut reader), ["gap: overflow", "large"]);
}

/// `P10`: what is dropped after a gap was told is another gap, before any frame that comes later.
#[test]
fn a_gap_covers_what_was_dropped_before() {
    let (inbox, mut reader) = of_frames(1);
    put(&inbox, &["1", "lost"]);
    assert_eq!(next(&mut reader).unwrap(), "gap: overflow");
    put(&inbox, &["lost"]);
    assert_eq!(next(&mut reader).unwrap(), "1");
    put(&inbox, &["2"]);
    assert_eq!(all(&mut reader), ["gap: overflow", "2"]);
}

/// Who is always too slow hears gaps, and yet gets on with the frames.
#[test]
fn gaps_do_not_hold_up_frames() {
    let (inbox, mut reader) = of_frames(2);
    put(&inbox, &["1", "2"]);
    let mut told = Vec::new();
    for _ in 0..6 {
        put(&inbox, &["more", "more", "more"]);
        told.extend(next(&mut reader));
    }
    let gap = "gap: overflow";
    assert_eq!(told, [gap, "1", gap, "2", gap, "more"]);
}

/// `P18`: what is no frame takes no room, and comes once, ahead of frames; gaps go first, by reason.
#[test]
fn signals_take_no_room() {
    let (inbox, mut reader) = of_frames(2);
    put(&inbox, &["1"]);
    for _ in 0..1_000 {
        inbox.nudge();
        inbox.gap(GapReason::FrameUnreadable);
        inbox.gap(GapReason::LinkLost);
    }
    assert!(inbox.contents.lock().gaps.len() == 2);
    put(&inbox, &["2", "3"]);
    let expected = [
        "gap: overflow",
        "gap: frame_unreadable",
        "gap: link_lost",
        "nudge",
        "1",
        "2",
    ];
    assert_eq!(all(&mut reader), expected);
    inbox.gap(GapReason::LinkLost);
    inbox.nudge();
    assert_eq!(all(&mut reader), ["gap: link_lost", "nudge"]);
}

/// A lost link is told once, after all that waits; the first reason counts, and nothing comes after it.
#[test]
fn a_loss_comes_last() {
    let (inbox, mut reader) = of_frames(1);
    put(&inbox, &["1", "2"]);
    inbox.nudge();
    assert!(inbox.lose(lost("first")));
    assert!(!inbox.lose(lost("second")));
    assert_eq!(next(&mut reader).unwrap(), "gap: overflow");
    assert_eq!(put(&inbox, &["later"]), 0);
    inbox.gap(GapReason::LinkLost);
    inbox.nudge();
    drop(inbox);
    assert_eq!(all(&mut reader), ["nudge", "1", "lost: first", "end"]);
    assert_eq!(all(&mut reader), ["end"]);
}

/// Who fills it ends in no way without the reader being told.
#[test]
fn an_abandoned_inbox_is_a_lost_link() {
    let (inbox, mut reader) = of_frames(1);
    put(&inbox, &["1"]);
    drop(inbox);
    let told = "lost: the task that listened has ended: subscribe again";
    assert_eq!(all(&mut reader), ["1", told, "end"]);
}

/// A close is the end at once, also of what a lost link left.
#[test]
fn a_close_ends_at_once() {
    let (inbox, mut reader) = of_frames(1);
    put(&inbox, &["1", "2"]);
    inbox.gap(GapReason::LinkLost);
    inbox.lose(lost("before"));
    inbox.close();
    inbox.close();
    assert_eq!(put(&inbox, &["3", "4"]), 0);
    assert!(!inbox.lose(lost("after")));
    drop(inbox);
    assert_eq!(all(&mut reader), ["end"]);
    assert_eq!(all(&mut reader), ["end"]);
}

/// What waits when it is closed, or its reader goes, is dropped there and then, with its acknowledgements; and so is what
/// comes later. The guard goes with the reader.
#[test]
fn nothing_is_kept_for_nobody() {
    let with_ack = || {
        let (ack, answer) = AckSink::new();
        (frame("x").with_ack(ack), answer)
    };
    let (inbox, reader) = of_frames(2);
    let guard = Arc::downgrade(&reader._guard);
    let (waiting, mut answer) = with_ack();
    inbox.put([waiting]);
    assert!(guard.upgrade().is_some());
    drop(reader);
    assert!(guard.upgrade().is_none());
    answer.try_recv().unwrap_err();
    let (later, mut answer) = with_ack();
    assert_eq!(inbox.put([later]), 0);
    let gone = |answer: &mut tokio::sync::oneshot::Receiver<_>| {
        let closed = tokio::sync::oneshot::error::TryRecvError::Closed;
        answer.try_recv().is_err_and(|error| error == closed)
    };
    assert!(gone(&mut answer));
    let (inbox, _reader) = of_frames(2);
    let (waiting, mut answer) = with_ack();
    inbox.put([waiting]);
    assert!(!gone(&mut answer));
    inbox.close();
    assert!(gone(&mut answer));
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

fn poll(reader: &mut Reader, woken: &Arc<Woken>) -> Option<String> {
    let waker = Waker::from(Arc::clone(woken));
    match reader.poll_next_unpin(&mut Context::from_waker(&waker)) {
        Poll::Ready(told) => Some(in_words(told)),
        Poll::Pending => None,
    }
}

/// Whatever there is to tell wakes who found nothing: the task that polled last, wherever the reader was before.
#[test]
fn whatever_comes_wakes() {
    type Does = fn(Inbox);
    let all: [(&str, Does); 6] = [
        ("1", |inbox| {
            put(&inbox, &["1"]);
            std::mem::forget(inbox);
        }),
        ("gap: link_lost", |inbox| {
            inbox.gap(GapReason::LinkLost);
            std::mem::forget(inbox);
        }),
        ("nudge", |inbox| {
            inbox.nudge();
            std::mem::forget(inbox);
        }),
        ("lost: link", |inbox| {
            inbox.lose(lost("link"));
            std::mem::forget(inbox);
        }),
        ("end", |inbox| {
            inbox.close();
            std::mem::forget(inbox);
        }),
        (
            "lost: the task that listened has ended: subscribe again",
            drop,
        ),
    ];
    for (expected, does) in all {
        let (inbox, mut reader) = of_frames(1);
        let (before, now) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        assert_eq!(poll(&mut reader, &before), None);
        assert_eq!(poll(&mut reader, &now), None);
        does(inbox);
        assert_eq!((before.take(), now.take()), (0, 1), "{expected}");
        assert_eq!(poll(&mut reader, &now).as_deref(), Some(expected));
    }
}

/// A frame that found no room wakes as well: who is slow is told although nothing else comes.
#[test]
fn an_overflow_wakes() {
    let (inbox, mut reader) = of_frames(1);
    let woken = Arc::default();
    assert_eq!(poll(&mut reader, &woken), None);
    put(&inbox, &["1", "2"]);
    assert_eq!(woken.take(), 1);
    assert_eq!(all(&mut reader), ["gap: overflow", "1"]);
    assert_eq!(poll(&mut reader, &woken), None);
}

/// A reader that reads as soon as it is woken, or a waker that puts, does not meet the lock.
#[test]
fn no_waker_meets_the_lock() {
    struct Tries(Inbox, AtomicUsize);
    impl Wake for Tries {
        fn wake(self: Arc<Self>) {
            if self.0.contents.try_lock().is_some() {
                self.1.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    let (inbox, mut reader) = of_frames(8);
    let tries = Arc::new(Tries(inbox, AtomicUsize::new(0)));
    let does: [fn(&Inbox); 5] = [
        |inbox| assert_eq!(put(inbox, &["1"]), 0),
        |inbox| inbox.gap(GapReason::LinkLost),
        Inbox::nudge,
        |inbox| assert!(inbox.lose(lost("link"))),
        Inbox::close,
    ];
    for (n, does) in does.into_iter().enumerate() {
        let waker = Waker::from(Arc::clone(&tries));
        let told = reader.poll_next_unpin(&mut Context::from_waker(&waker));
        assert!(told.is_pending());
        does(&tries.0);
        assert_eq!(tries.1.load(Ordering::SeqCst), n + 1);
        // All but the end.
        while tries.0.contents.lock().next().is_some() {}
        if n < 4 {
            tries.0.contents.lock().end = None;
        }
    }
}

/// While one thread puts and another reads, each frame comes, in order, and nobody sleeps for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_threads_lose_nothing() {
    const FRAMES: usize = 20_000;
    let (inbox, mut reader) = of_frames(FRAMES);
    let putting = tokio::task::spawn_blocking(move || {
        for n in 0..FRAMES {
            let bytes = Bytes::from(n.to_string());
            inbox.put([Frame::new(bytes, Sender::Unknown)]);
            if n % 7 == 0 {
                std::thread::yield_now();
            }
        }
        inbox
    });
    for n in 0..FRAMES {
        let told = tokio::time::timeout(std::time::Duration::from_secs(60), reader.next());
        assert_eq!(in_words(told.await.unwrap()), n.to_string());
    }
    let inbox = putting.await.unwrap();
    assert_eq!(inbox.heard(), FRAMES as u64);
}

/// Who waited for the next signal, and gave up, has taken none.
#[test]
fn giving_up_takes_nothing() {
    let (inbox, mut reader) = of_frames(1);
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    let mut waiting = Box::pin(reader.next());
    assert!(
        waiting
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
    );
    put(&inbox, &["1"]);
    drop(waiting);
    assert_eq!(all(&mut reader), ["1"]);
}
