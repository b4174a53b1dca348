//! How the node polls, publishes and purges.

use std::time::Duration;

use invalidation_core::{NodeClock, NodeSettings};

use super::{schema, table::Table};

/// From `[node]` in `top`, and from `[log]`.
pub(super) fn parse(top: &Table<'_>, log: &Table<'_>) -> (NodeSettings, NodeClock) {
    let mut settings = NodeSettings::default();
    let node = top.table_or_empty("node", Some(&schema::NODE));

    if let Some(interval) = log.positive_duration("poll_interval") {
        settings.poll_interval = interval;
        // A shorter interval alone brings the time-out along, which must stay below it.
        settings.read_timeout = settings.read_timeout.min(interval.mul_f64(0.8));
    }
    set(
        &mut settings.read_timeout,
        log.positive_duration("read_timeout"),
    );
    set(
        &mut settings.append_timeout,
        log.positive_duration("append_timeout"),
    );
    set(
        &mut settings.commit_settles_within,
        log.positive_duration("commit_settles_within"),
    );
    set(&mut settings.retention, log.positive_duration("retention"));
    set(&mut settings.page_entries, log.count("page_entries"));
    set(&mut settings.backlog_pages, log.count("backlog_pages"));
    set(&mut settings.start_in_bypass, log.flag("start_in_bypass"));
    set(
        &mut settings.start_timeout,
        node.positive_duration("start_timeout"),
    );
    set(&mut settings.outbox_items, node.count("outbox_items"));
    set(
        &mut settings.remembered_entries,
        node.count("remembered_entries"),
    );

    check_against_the_interval(log, &settings);
    let clock = match node.one_of("clock", &[("coarse", false), ("boottime", true)]) {
        Some(true) => NodeClock::Boottime,
        _ => NodeClock::Coarse,
    };
    (settings, clock)
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn check_against_the_interval(log: &Table<'_>, settings: &NodeSettings) {
    let NodeSettings {
        poll_interval,
        read_timeout,
        retention,
        ..
    } = *settings;
    if read_timeout >= poll_interval {
        log.refuse(
            "read_timeout",
            format!(
                "{read_timeout:?} must be below log.poll_interval, {poll_interval:?}: lower the one or raise the other"
            ),
        );
    }
    let least: Duration = 10 * poll_interval;
    if retention < least {
        let key = if log.has("retention") {
            "retention"
        } else {
            "poll_interval"
        };
        log.refuse(
            key,
            format!(
                "log.retention, {retention:?}, must be at least ten poll intervals, {least:?}: a reader that is a little late would flush all it has"
            ),
        );
    }
}
