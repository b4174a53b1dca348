//! Why something may have been missed.

use std::fmt;

/// The named reason of a gap (`P10`). Each is the `reason` label of a counter (`P19`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GapReason {
    /// Entries that the cursor had not passed were purged.
    Purged,
    /// The log is not the one the cursor was made on: replaced, recreated, failed over, recovered.
    IdentityChanged,
    /// The newest entry that was read is no longer there: restored from an older state, or its tail lost.
    WitnessLost,
    /// Entries that the cursor had not passed are gone, and no purge took them: somebody deleted them by hand.
    EntriesLost,
    /// The cursor could not be decoded.
    CursorUnreadable,
    /// More entries were waiting than are worth reading one by one.
    Backlog,
    /// The link of a transport was lost; it is subscribed again.
    LinkLost,
    /// A bounded buffer of the receiver was full.
    Overflow,
    /// A hole in an origin's sequence did not close.
    SequenceHole,
    /// The first frame seen of an origin was not its first.
    FirstContact,
    /// An origin fell silent without a farewell, and no log can tell what it last said.
    OriginSilent,
    /// A frame could not be decoded.
    FrameUnreadable,
    /// A peer asked to read again what it could not send.
    Resync,
}

impl GapReason {
    /// The label of this reason in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Purged => "purged",
            Self::IdentityChanged => "identity_changed",
            Self::WitnessLost => "witness_lost",
            Self::EntriesLost => "entries_lost",
            Self::CursorUnreadable => "cursor_unreadable",
            Self::Backlog => "backlog",
            Self::LinkLost => "link_lost",
            Self::Overflow => "overflow",
            Self::SequenceHole => "sequence_hole",
            Self::FirstContact => "first_contact",
            Self::OriginSilent => "origin_silent",
            Self::FrameUnreadable => "frame_unreadable",
            Self::Resync => "resync",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
