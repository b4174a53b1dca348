//! Random histories: what was written and read, and whether it can be.

mod checker;
mod outages;
mod run;
mod schedule;

pub(crate) use run::{
    converging_history, history_across_log_outages, history_across_transport_outages,
    history_of_bounded_reads, history_of_strict_reads, history_of_transactions,
};
