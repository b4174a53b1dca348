//! When a node reads its log, and what that has proved: a node's recovery is judged by it (`P20`).

use std::time::Duration;

use invalidation_core::{Completeness, Page, ReadRequest, ReadStart};
use parking_lot::Mutex;

use super::machine::Machine;

/// The reads of one node, in time that the machine ran.
pub(crate) struct Pace {
    machine: Machine,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many reads began: the number of the newest.
    begun: u64,
    /// How many are under way.
    under_way: u64,
    given_up: u64,
    /// When the newest began; or when the last one ended, while none is under way.
    since: Duration,
    /// The first one of the series that is read.
    series: u64,
    /// Everything that was committed before the read of this number has been handed to the node.
    handed: Option<u64>,
    /// The same, and the node asked for more since, and so has applied it. They rise.
    applied: Vec<u64>,
}

/// What a node does now, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It reads its log.
    Reading(Duration),
    /// It does not.
    Pausing(Duration),
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            machine: Machine::watch(),
            state: Mutex::default(),
        }
    }

    /// A read begins; it is under way until what this gives is dropped.
    pub(super) fn begin(&self, request: &ReadRequest<'_>) -> Reading<'_> {
        let now = self.machine.ran();
        let mut state = self.state.lock();
        state.begun += 1;
        state.under_way += 1;
        state.since = now;
        let number = state.begun;
        if request.started == request.series_started {
            state.series = number;
        }
        if let Some(handed) = state.handed.take() {
            state.applied.push(handed);
        }
        Reading {
            pace: self,
            number,
            started: request.started,
            has_ended: false,
        }
    }

    /// How long the machine ran since this node's place was made.
    pub(crate) fn ran(&self) -> Duration {
        self.machine.ran()
    }

    /// How many reads began.
    pub(crate) fn begun(&self) -> u64 {
        self.state.lock().begun
    }

    /// How many reads the node did not wait for.
    pub(crate) fn given_up(&self) -> u64 {
        self.state.lock().given_up
    }

    /// How many reads that began after the first `begun` the node has applied, each of which told it all that was
    /// committed before.
    pub(crate) fn applied_since(&self, begun: u64) -> usize {
        let state = self.state.lock();
        let before = state.applied.partition_point(|number| *number <= begun);
        state.applied.len() - before
    }

    pub(crate) fn doing(&self) -> Doing {
        let state = self.state.lock();
        let since = self.machine.ran().saturating_sub(state.since);
        match state.under_way {
            0 => Doing::Pausing(since),
            _ => Doing::Reading(since),
        }
    }
}

/// A read under way.
pub(super) struct Reading<'a> {
    pace: &'a Pace,
    number: u64,
    started: ReadStart,
    has_ended: bool,
}

impl Reading<'_> {
    /// It ends with this page, if it is one.
    pub(super) fn ends(&mut self, page: Option<&Page>) {
        self.has_ended = true;
        let complete = match page {
            Some(Page::Entries { complete, .. }) => *complete,
            Some(Page::Expired { as_of, .. }) => Completeness::AsOf(*as_of),
            _ => Completeness::Partial,
        };
        if let Completeness::AsOf(start) = complete {
            let mut state = self.pace.state.lock();
            // What else it may name is no earlier than the series.
            let of_this_one = start == self.started;
            let proved = if of_this_one {
                self.number
            } else {
                state.series
            };
            state.handed = state.handed.max(Some(proved));
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let now = self.pace.machine.ran();
        let mut state = self.pace.state.lock();
        state.under_way -= 1;
        state.given_up += u64::from(!self.has_ended);
        if state.under_way == 0 {
            state.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use invalidation_core::{Cursor, Tick};

    use super::*;

    const fn start(number: u64) -> ReadStart {
        ReadStart::new(Tick::from_nanos(number), number)
    }

    fn page(complete: Completeness) -> Page {
        Page::Entries {
            entries: Vec::new(),
            next: Cursor::from_bytes("0"),
            complete,
        }
    }

    /// A read of this number, of the series that this one began, with what it ends.
    fn read(pace: &Pace, number: u64, series: u64, ends: Option<Completeness>) {
        let after = Cursor::from_bytes("0");
        let mut request = ReadRequest::new(&after, start(number));
        request.series_started = start(series);
        let mut reading = pace.begin(&request);
        if let Some(complete) = ends {
            reading.ends(Some(&page(complete)));
        }
    }

    /// What was handed to a node counts as applied when it asks for more, and not before.
    #[tokio::test]
    async fn a_page_is_applied_when_the_next_is_asked_for() {
        let pace = Pace::new();
        read(&pace, 1, 1, Some(Completeness::AsOf(start(1))));
        assert_eq!(pace.applied_since(0), 0);
        read(&pace, 2, 2, None);
        assert_eq!(pace.applied_since(0), 1);
        assert_eq!(pace.applied_since(1), 0);
        assert_eq!(pace.given_up(), 1);
    }

    /// A series that began before proves nothing of what was committed since.
    #[tokio::test]
    async fn a_series_proves_its_own_start() {
        let pace = Pace::new();
        read(&pace, 1, 1, Some(Completeness::Partial));
        read(&pace, 2, 1, Some(Completeness::AsOf(start(1))));
        read(&pace, 3, 3, Some(Completeness::Partial));
        read(&pace, 4, 3, Some(Completeness::AsOf(start(4))));
        read(&pace, 5, 5, None);
        assert_eq!(pace.applied_since(0), 2);
        assert_eq!(
            pace.applied_since(1),
            1,
            "the first series began with read 1"
        );
        assert_eq!(
            pace.applied_since(3),
            1,
            "the second says that it reaches to read 4"
        );
        assert_eq!(pace.applied_since(4), 0);
    }

    /// A pause is told as one, and so is a read that does not end.
    #[tokio::test]
    async fn what_a_node_does_is_told() {
        let pace = Pace::new();
        assert!(matches!(pace.doing(), Doing::Pausing(_)));
        let after = Cursor::from_bytes("0");
        let request = ReadRequest::new(&after, start(1));
        let reading = pace.begin(&request);
        assert!(matches!(pace.doing(), Doing::Reading(_)));
        drop(reading);
        assert!(matches!(pace.doing(), Doing::Pausing(_)));
    }
}
