//! Random histories: what was written and read, and whether it can be.

mod checker;
mod run;
mod schedule;

pub(crate) use run::{
    converging_history, history_of_bounded_reads, history_of_strict_reads, history_of_transactions,
};
