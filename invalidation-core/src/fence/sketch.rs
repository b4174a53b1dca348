//! For any number of ids, an upper bound of when each was last invalidated, in fixed memory.

use super::sync::{Counter, SyncTypes};

/// A count-min sketch that keeps maxima: each id has a cell in two rows, and its bound is the smaller one.
///
/// Two ids that share a cell share its bound there, so the answer may be too late but never too early: it
/// widens and never misses (`P11`). With *m* ids raised since some point and rows of *n* cells, an id that
/// was not is taken for one that was with a probability of about (*m*/*n*)². Reading takes no lock.
pub(crate) struct Sketch<S: SyncTypes> {
    rows: [Box<[S::Counter]>; 2],
    mask: u64,
}

impl<S: SyncTypes> Sketch<S> {
    /// A sketch with `cells` cells in each row, rounded up to a power of two; every bound is 0.
    pub(crate) fn new(cells: usize) -> Self {
        let cells = cells.next_power_of_two();
        let row = || (0..cells).map(|_| Counter::new(0)).collect();
        Self {
            rows: [row(), row()],
            mask: cells as u64 - 1,
        }
    }

    /// `id` was invalidated at `at`.
    pub(crate) fn raise(&self, id: u64, at: u64) {
        for cell in self.cells(id) {
            cell.raise(at);
        }
    }

    /// No invalidation of `id` was later than this.
    #[inline]
    pub(crate) fn bound(&self, id: u64) -> u64 {
        let [first, second] = self.cells(id);
        first.get().min(second.get())
    }

    // The two halves of a 64-bit hash are independent enough to index two rows.
    #[inline]
    fn cells(&self, id: u64) -> [&S::Counter; 2] {
        [
            &self.rows[0][(id & self.mask) as usize],
            &self.rows[1][((id >> 32) & self.mask) as usize],
        ]
    }
}
