//! Random histories: what was written and read, and whether it can be.

mod cases;
mod checker;
mod converging;
mod outages;
mod run;
mod schedule;

pub(crate) use cases::{
    converging_history, history_across_log_outages, history_across_transport_outages,
    history_of_bounded_reads, history_of_strict_reads, history_of_transactions,
};
