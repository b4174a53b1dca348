//! How old messages are, at least, by this process's own monotonic clock: whatever stood in the stream when it was looked at
//! is as old as that look. JetStream 2.9 tells its own time nowhere, and no other clock may be asked (`P17`).

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::cursor::Identity;

/// How many looks are remembered; when there are more, every second one is dropped.
const MOST: usize = 256;

/// When which sequence was the last.
#[derive(Debug, Default)]
pub(super) struct Ages(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    identity: Option<Identity>,
    /// By time, and so by sequence.
    notes: VecDeque<(Instant, u64)>,
    /// How far two of them are apart, at least.
    apart: Duration,
}

impl Ages {
    /// The stream's last sequence is this, as was heard just now.
    pub(super) fn note(&self, identity: Identity, last: u64) {
        let now = Instant::now();
        let mut kept = self.0.lock();
        let went_back = kept.notes.back().is_some_and(|(_, newest)| *newest > last);
        if kept.identity != Some(identity) || went_back {
            *kept = Notes {
                identity: Some(identity),
                ..Notes::default()
            };
        }
        match kept.notes.back() {
            Some((at, newest)) if *newest == last || now.duration_since(*at) < kept.apart => return,
            _ => kept.notes.push_back((now, last)),
        }
        if kept.notes.len() > MOST {
            let mut index = 0_usize;
            kept.notes.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            let span = match (kept.notes.front(), kept.notes.back()) {
                (Some((first, _)), Some((last, _))) => last.duration_since(*first),
                _ => Duration::ZERO,
            };
            kept.apart = span * 2 / u32::try_from(MOST).unwrap_or(u32::MAX);
        }
    }

    /// The highest sequence that is surely as old as that.
    pub(super) fn older_than(&self, age: Duration) -> Option<u64> {
        let now = Instant::now();
        let kept = self.0.lock();
        let is_older = |(at, _): &&(Instant, u64)| now.duration_since(*at) >= age;
        kept.notes
            .iter()
            .rev()
            .find(is_older)
            .map(|(_, last)| *last)
    }

    /// The past may be another one.
    pub(super) fn forget(&self) {
        *self.0.lock() = Notes::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::moment::Moment;

    const fn identity(created: i64) -> Identity {
        Identity {
            stream: 1,
            created: Moment(created),
        }
    }

    /// P13: nothing counts as older than it surely is, and notes on another stream count for nothing.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_older_than_it_was_seen() {
        let ages = Ages::default();
        let second = Duration::from_secs(1);
        assert_eq!(ages.older_than(Duration::ZERO), None);
        for last in [3, 3, 5] {
            ages.note(identity(1), last);
            tokio::time::advance(second).await;
        }
        assert_eq!(ages.older_than(second / 2), Some(5));
        assert_eq!(ages.older_than(second * 2), Some(3));
        assert_eq!(ages.older_than(second * 4), None);
        assert_eq!(ages.older_than(Duration::MAX), None);
        ages.note(identity(1), 4);
        assert_eq!(ages.older_than(second / 2), None, "the sequence went back");
        tokio::time::advance(second).await;
        ages.note(identity(2), 9);
        assert_eq!(ages.older_than(second / 2), None, "another stream");
    }

    /// What is kept is bounded, and still reaches back to the first.
    #[tokio::test(start_paused = true)]
    async fn notes_grow_sparse() {
        let ages = Ages::default();
        for last in 0..10_000 {
            ages.note(identity(1), last);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(ages.0.lock().notes.len() <= MOST);
        assert_eq!(ages.older_than(Duration::from_secs(10_000)), Some(0));
        let old = ages.older_than(Duration::from_secs(5_000));
        assert!(
            old.is_some_and(|old| (4_000..=5_000).contains(&old)),
            "{old:?}"
        );
    }
}
