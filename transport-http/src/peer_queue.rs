//! What waits for one peer: bounded, and collapsing to one resync.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use invalidation_core::{Error, ErrorKind};
use metrics::counter;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

use crate::wire::{BATCH_HEAD, ITEM_HEAD};

/// What the peer said to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A subscription has it.
    Received,
    /// Every target applied it.
    Applied,
    /// The peer is this node itself.
    Itself,
}

/// What became of a frame at one peer.
pub(crate) type Outcome = Result<Reply, Arc<Error>>;

/// A frame that waits to be sent.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) bytes: Bytes,
    pub(crate) want_ack: bool,
    /// Nobody may listen any more: what is queued is sent all the same.
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// What goes in the next request.
#[derive(Debug, Default)]
pub(crate) struct Take {
    pub(crate) frames: Vec<Queued>,
    pub(crate) resync: bool,
}

/// The queue of one peer. Its task is the only one to take from it.
#[derive(Debug)]
pub(crate) struct PeerQueue {
    state: Mutex<State>,
    work: Notify,
    max_frames: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Queued>,
    bytes: usize,
    /// A frame did not reach the peer: it is to read again. Stays until the peer confirmed it.
    owes_resync: bool,
    /// Set while the breaker is open, and for good once the peer is gone: why frames fail at once.
    refusing: Option<Outcome>,
}

impl PeerQueue {
    pub(crate) fn new(max_frames: usize, max_bytes: usize, owes_resync: bool) -> Self {
        Self {
            state: Mutex::new(State {
                frames: VecDeque::new(),
                bytes: 0,
                owes_resync,
                refusing: None,
            }),
            work: Notify::new(),
            max_frames,
            max_bytes,
        }
    }

    /// Queues a frame; its outcome comes by `answer`.
    pub(crate) fn push(&self, frame: Queued) {
        let mut state = self.state.lock();
        if let Some(outcome) = &state.refusing {
            let outcome = outcome.clone();
            state.owes_resync |= outcome.is_err();
            drop(state);
            let _ = frame.answer.send(outcome);
            return;
        }
        let size = frame.bytes.len();
        let fits = state.frames.len() < self.max_frames && state.bytes + size <= self.max_bytes;
        state.frames.push_back(frame);
        if fits {
            state.bytes += size;
            drop(state);
        } else {
            // P11: nothing is dropped without a word; one resync stands for all of them.
            counter!("cache_invalidation_http_queue_collapses_total").increment(1);
            let collapsed = state.drain();
            drop(state);
            fail(collapsed, &overflow(self.max_frames));
        }
        self.work.notify_one();
    }

    /// Waits until there is something to send: a frame, or a resync no earlier than `resync_at`. Cancel-safe.
    pub(crate) async fn ready(&self, resync_at: Instant) {
        loop {
            let pushed = self.work.notified();
            let owes_resync = {
                let state = self.state.lock();
                if !state.frames.is_empty() {
                    return;
                }
                state.owes_resync
            };
            if !owes_resync {
                pushed.await;
            } else {
                tokio::select! {
                    () = pushed => {}
                    () = sleep_until(resync_at) => return,
                }
            }
        }
    }

    /// Takes what fits a payload of `max_payload` bytes.
    pub(crate) fn take(&self, max_payload: usize, with_resync: bool) -> Take {
        let mut state = self.state.lock();
        let resync = with_resync && state.owes_resync;
        let mut room = max_payload.saturating_sub(BATCH_HEAD + ITEM_HEAD);
        let mut frames = Vec::new();
        while let Some(next) = state.frames.front() {
            let size = next.bytes.len() + ITEM_HEAD;
            // The first always goes: `publish` refuses what would not fit alone.
            if size > room && !frames.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            state.bytes -= next.bytes.len();
            frames.extend(state.frames.pop_front());
        }
        if resync {
            // Owed again if this request fails; what is lost from now on is another one.
            state.owes_resync = false;
        }
        Take { frames, resync }
    }

    /// Frames fail at once from now on, and so do those that wait.
    pub(crate) fn refuse(&self, outcome: Outcome) {
        let mut state = self.state.lock();
        let waiting = match outcome.is_err() {
            true => state.drain(),
            // The peer is this node: nothing is lost.
            false => {
                state.bytes = 0;
                state.frames.drain(..).collect()
            }
        };
        state.refusing = Some(outcome.clone());
        drop(state);
        for frame in waiting {
            let _ = frame.answer.send(outcome.clone());
        }
    }

    /// Frames are queued again.
    pub(crate) fn accept(&self) {
        self.state.lock().refusing = None;
    }

    /// The peer may have missed something.
    pub(crate) fn owe_resync(&self) {
        self.state.lock().owes_resync = true;
        self.work.notify_one();
    }

    /// Whether the peer is to be told to read again.
    pub(crate) fn owes_resync(&self) -> bool {
        self.state.lock().owes_resync
    }

    /// Whether frames fail at once.
    pub(crate) fn is_refusing(&self) -> bool {
        self.state.lock().refusing.is_some()
    }
}

impl State {
    fn drain(&mut self) -> Vec<Queued> {
        self.owes_resync |= !self.frames.is_empty();
        self.bytes = 0;
        self.frames.drain(..).collect()
    }
}

/// Tells everybody who waits for these.
pub(crate) fn fail(frames: Vec<Queued>, error: &Arc<Error>) {
    for frame in frames {
        let _ = frame.answer.send(Err(error.clone()));
    }
}

fn overflow(bound: usize) -> Arc<Error> {
    Arc::new(
        Error::new(
            ErrorKind::TooLarge,
            "http",
            "publish",
            format!(
                "the queue to this peer (at most {bound} frames) was full: what waited is dropped, and the \
                 peer is told to resync"
            ),
        )
        .with_retry(invalidation_core::Retry::Temporary),
    )
}
