//! How long what takes.

use std::time::Duration;

/// How often a node reads the log when no cache asks for more.
pub(crate) const POLL: Duration = Duration::from_secs(1);
/// Long, so that a held answer is still an answer.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_millis(800);
/// The bound of [`Freshness::Bounded`]; half of it is how often the log is read.
pub(crate) const MAX_STALENESS: Duration = Duration::from_millis(200);
/// So long that no case ends it by waiting.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);
/// How long a node pauses at most between two reads of the log, whatever became of the first.
pub(crate) const PAUSE: Duration = Duration::from_millis(POLL.as_millis() as u64 * 12 / 10);
/// By how much a timer may be late while the machine runs what is due.
pub(crate) const LATE: Duration = Duration::from_millis(500);
/// What a backend may take until it answers as before, while the machine runs what is due: other cases run beside this
/// one, and a disk may be slow.
const SLACK: Duration = Duration::from_secs(3);
/// `P20`: 1.2 poll intervals and the read timeout, and what the backend may add. No TTL comes near it.
pub(crate) const RECOVERY: Duration = PAUSE.saturating_add(READ_TIMEOUT).saturating_add(SLACK);
/// How many keys and tags may wait for a transport before they widen.
pub(crate) const OUTBOX_ITEMS: usize = 256;
