//! What an operator may set for a node.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// How a node polls, publishes and purges. [`Default`] is right for most.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeSettings {
    /// How often the log is read; each pause is jittered by ± 20 %. Halved smallest `max_staleness` wins
    /// when it is shorter. Default 500 ms.
    pub poll_interval: Duration,
    /// How long one log read may take. Below the poll interval. Default 400 ms.
    pub read_timeout: Duration,
    /// How long an append may take before its outcome counts as unknown. Default 5 s.
    pub append_timeout: Duration,
    /// How long the server of the business data may take to finish a commit whose outcome a writer does not know, when its
    /// invalidation is logged in [two steps](crate::TwoStep): it is logged again so much later. Default 30 s.
    pub commit_settles_within: Duration,
    /// How long the first contact with log and transports may take, and each later attempt to subscribe.
    /// Default 10 s.
    pub start_timeout: Duration,
    /// How long one frame may take to be published. Default 2 s.
    pub publish_timeout: Duration,
    /// How long log entries are kept. A node that was away for longer flushes. Default 1 h.
    pub retention: Duration,
    /// Entries to a page of the log. Default 1,000.
    pub page_entries: usize,
    /// After so many pages that were not the last a flush takes the place of the rest. Default 10.
    pub backlog_pages: usize,
    /// How many keys and tags may wait for one transport before they widen. Default 65,536.
    pub outbox_items: usize,
    /// How many applied entries are remembered, so that the log need not apply them again. Default 65,536.
    pub remembered_entries: usize,
    /// Start although the log cannot be reached: caches are bypassed until it can. Default `false`.
    pub start_in_bypass: bool,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(500),
            read_timeout: Duration::from_millis(400),
            append_timeout: Duration::from_secs(5),
            commit_settles_within: Duration::from_secs(30),
            start_timeout: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(2),
            retention: Duration::from_secs(3_600),
            page_entries: 1_000,
            backlog_pages: 10,
            outbox_items: 65_536,
            remembered_entries: 65_536,
            start_in_bypass: false,
        }
    }
}

impl NodeSettings {
    /// Refuses what cannot work, saying what to set.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse =
            |message: String| Err(Error::new(ErrorKind::Invalid, "node", "start", message));
        if self.poll_interval.is_zero() || self.read_timeout.is_zero() {
            return refuse("poll_interval and read_timeout must be above zero".into());
        }
        if self.read_timeout >= self.poll_interval {
            return refuse(format!(
                "read_timeout ({:?}) must be below poll_interval ({:?}): lower the one or raise the other",
                self.read_timeout, self.poll_interval
            ));
        }
        if self.retention / 10 < self.poll_interval {
            return refuse(format!(
                "retention ({:?}) must be at least ten poll intervals (of {:?}): readers would flush all the time",
                self.retention, self.poll_interval
            ));
        }
        for (name, value) in [
            ("page_entries", self.page_entries),
            ("backlog_pages", self.backlog_pages),
            ("outbox_items", self.outbox_items),
            ("remembered_entries", self.remembered_entries),
        ] {
            if value == 0 {
                return refuse(format!("{name} must be above zero"));
            }
        }
        Ok(())
    }
}
