//! What the parent and a node say to each other: lines of JSON on the node's standard input and output.

use serde::{Deserialize, Serialize};

/// A request or a reply, with the number that joins the two.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Numbered<T> {
    pub(crate) number: u64,
    pub(crate) body: T,
}

/// What the parent asks of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Write the next version of this row, and invalidate it in the same transaction.
    Write { key: i64 },
    /// The same, but die of SIGKILL between the commit and the publishing.
    WriteAndDie { key: i64 },
    /// Cache this row, and look at it every `pause_us` until it is gone or at least at `version`.
    Watch {
        key: i64,
        version: i64,
        pause_us: u64,
    },
    /// When did the watch of this row and version end?
    Seen { key: i64, version: i64 },
    /// Every read so far.
    Reads,
    /// Stop reading; then as `Reads`.
    StopReading,
    /// How many reads of this version began after this time?
    ReadsAfter { key: i64, version: i64, after: u64 },
    /// How is the node?
    Status,
}

/// What a node answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The node is up (request 0, which nobody asks), and its transport listens on this port.
    Ready {
        port: u16,
    },
    Committed(Commit),
    Watching,
    /// `None`: not within the watch's deadline.
    Seen(Option<u64>),
    Reads(Reads),
    Count(u64),
    Status(Status),
    Failed(String),
}

/// One committed write.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) key: i64,
    pub(crate) version: i64,
    /// Before the database was asked to commit.
    pub(crate) begun: u64,
    /// After it had answered, and before anything was published.
    pub(crate) committed: u64,
}

/// Every read of one node so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reads {
    pub(crate) count: u64,
    pub(crate) versions: Vec<VersionReads>,
    /// Reads that failed, and values that were not what their row says; the first few.
    pub(crate) faults: Vec<String>,
}

/// The reads of one version of one row.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct VersionReads {
    pub(crate) key: i64,
    pub(crate) version: i64,
    /// When the first read that gave it ended.
    pub(crate) first_end: u64,
    /// When the last read that gave it began.
    pub(crate) last_start: u64,
}

/// How a node is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Status {
    /// How long ago the last complete log read began.
    pub(crate) log_age_ms: Option<u64>,
    /// Reads so far that went past the cache because the log could not be read in time.
    pub(crate) bypassed: u64,
    /// Reads of the database so far.
    pub(crate) loads: u64,
}
