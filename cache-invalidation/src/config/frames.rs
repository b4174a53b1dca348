//! What the transports on a broker have in common.

use std::time::Duration;

use super::table::Table;

/// How frames are sent and taken. `None` leaves a key to the transport's default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FramesConfig {
    /// Whether only nodes of this cluster may send frames to it: `sender = "authenticated"`.
    pub authenticated: bool,
    /// How long one frame may take.
    pub publish_timeout: Option<Duration>,
    /// How soon a silent link is found lost.
    pub notices_loss_within: Option<Duration>,
    /// How many frames may wait for the node.
    pub buffered_frames: Option<usize>,
}

/// The longest time that a transport takes.
const MAX_TIME: Duration = Duration::from_secs(3_600);

pub(super) fn parse(table: &Table<'_>) -> FramesConfig {
    let authenticated = table.one_of("sender", &[("unknown", false), ("authenticated", true)]);
    let time = |key| {
        let time = table.positive_duration(key)?;
        if !(Duration::from_millis(1)..=MAX_TIME).contains(&time) {
            table.refuse(key, "must be 1ms to 1h");
            return None;
        }
        Some(time)
    };
    FramesConfig {
        authenticated: authenticated.unwrap_or(false),
        publish_timeout: time("publish_timeout"),
        notices_loss_within: time("notices_loss_within"),
        buffered_frames: table.count::<u32>("buffered_frames").map(|n| n as usize),
    }
}
