//! Every flush, gap, widening, lapse and drop has a counter with a reason (`P19`).
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `cache_invalidation_flushes_total` | counter | `reason` |
//! | `cache_invalidation_gaps_total` | counter | `source`, `reason` |
//! | `cache_invalidation_widened_total` | counter | `reason` |
//! | `cache_invalidation_applied_total` | counter | `source` |
//! | `cache_invalidation_skipped_total` | counter | `source` |
//! | `cache_invalidation_dropped_total` | counter | `reason` |
//! | `cache_invalidation_target_failures_total` | counter | `cache`, `reason` |
//! | `cache_invalidation_lease_lapses_total` | counter | |
//! | `cache_invalidation_log_reads_total` | counter | `outcome` |
//! | `cache_invalidation_log_age_seconds` | gauge | |
//! | `cache_invalidation_safety_net_lag_seconds` | histogram | |
//! | `cache_invalidation_publishes_total` | counter | `transport`, `outcome` |
//! | `cache_invalidation_publish_seconds` | histogram | `transport` |
//! | `cache_invalidation_subscriptions_total` | counter | `transport`, `outcome` |
//! | `cache_invalidation_unlogged_total` | counter | |
//! | `cache_invalidation_purged_total` | counter | |
//! | `cache_invalidation_task_restarts_total` | counter | `task` |

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::words::{CacheName, GapReason};

pub(crate) fn flush(reason: &'static str) {
    counter!("cache_invalidation_flushes_total", "reason" => reason).increment(1);
    tracing::info!(reason, "flushed every cache");
}

pub(crate) fn gap(source: &'static str, reason: GapReason) {
    counter!("cache_invalidation_gaps_total", "source" => source, "reason" => reason.as_str())
        .increment(1);
    tracing::debug!(source, %reason, "something may have been missed");
}

pub(crate) fn widened(reason: &'static str) {
    counter!("cache_invalidation_widened_total", "reason" => reason).increment(1);
}

pub(crate) fn applied(source: &'static str) {
    counter!("cache_invalidation_applied_total", "source" => source).increment(1);
}

pub(crate) fn skipped(source: &'static str) {
    counter!("cache_invalidation_skipped_total", "source" => source).increment(1);
}

pub(crate) fn dropped(reason: &'static str) {
    counter!("cache_invalidation_dropped_total", "reason" => reason).increment(1);
}

/// A write that was committed elsewhere is logged in the background.
pub(crate) fn unlogged() {
    counter!("cache_invalidation_unlogged_total").increment(1);
}

pub(crate) fn target_failed(cache: &CacheName, reason: &'static str) {
    counter!(
        "cache_invalidation_target_failures_total",
        "cache" => cache.as_str().to_owned(), "reason" => reason
    )
    .increment(1);
    tracing::error!(%cache, reason, "a target did not apply an invalidation; it is flushed");
}

pub(crate) fn lease_lapsed() {
    counter!("cache_invalidation_lease_lapses_total").increment(1);
    tracing::warn!("the freshness lease lapsed: the log has not been read completely for too long");
}

pub(crate) fn log_read(outcome: &'static str) {
    counter!("cache_invalidation_log_reads_total", "outcome" => outcome).increment(1);
}

pub(crate) fn log_age(age: Duration) {
    gauge!("cache_invalidation_log_age_seconds").set(age.as_secs_f64());
}

pub(crate) fn safety_net_lag(lag: Duration) {
    histogram!("cache_invalidation_safety_net_lag_seconds").record(lag.as_secs_f64());
}

pub(crate) fn published(transport: &'static str, outcome: &'static str, took: Duration) {
    counter!("cache_invalidation_publishes_total", "transport" => transport, "outcome" => outcome)
        .increment(1);
    histogram!("cache_invalidation_publish_seconds", "transport" => transport)
        .record(took.as_secs_f64());
}

pub(crate) fn subscription(transport: &'static str, outcome: &'static str) {
    counter!("cache_invalidation_subscriptions_total", "transport" => transport, "outcome" => outcome)
        .increment(1);
}

pub(crate) fn purged(entries: u64) {
    counter!("cache_invalidation_purged_total").increment(entries);
}

pub(crate) fn task_restarted(task: &'static str) {
    counter!("cache_invalidation_task_restarts_total", "task" => task).increment(1);
    tracing::error!(task, "a task of the node panicked; it is started again");
}
