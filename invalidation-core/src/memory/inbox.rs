//! The bounded buffer of one subscription.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    error::{Error, ErrorKind},
    transport::Signal,
    words::GapReason,
};

/// Signals on their way to one subscriber. Overflow drops frames and says so by a gap, in the frames' place
/// in the order.
pub(super) struct Inbox {
    capacity: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    signals: VecDeque<Signal>,
    end: Option<End>,
}

/// How a subscription ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// The transport was closed.
    Closed,
    /// The link was cut.
    Cut,
}

impl Inbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn put(&self, signal: Signal) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        if state.signals.len() < self.capacity {
            state.signals.push_back(signal);
        } else if !matches!(state.signals.back(), Some(Signal::Gap(GapReason::Overflow))) {
            // One place beyond the capacity is kept for the word of what was dropped (P10).
            state.signals.push_back(Signal::Gap(GapReason::Overflow));
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// What was put in is dropped: it was in flight on a link that is no more.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.signals.clear();
        state.end.get_or_insert(end);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The next signal; `None` at the end after [`End::Closed`]. Cancel-safe.
    pub(super) async fn take(&self) -> Option<Result<Signal, Error>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some(signal) = state.signals.pop_front() {
                    return Some(Ok(signal));
                }
                match state.end {
                    None => {}
                    Some(End::Closed) => return None,
                    Some(End::Cut) => {
                        // Told once; then the stream is at its end.
                        state.end = Some(End::Closed);
                        return Some(Err(Error::new(
                            ErrorKind::Unavailable,
                            "memory",
                            "subscribe",
                            "the link was cut; subscribe again",
                        )));
                    }
                }
            }
            changed.await;
        }
    }
}
