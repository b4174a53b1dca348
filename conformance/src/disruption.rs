//! What a harness may be asked to do to its backend.

use std::time::Duration;

use crate::Unable;

/// What a harness may be asked to do to its backend. One that it cannot is [`Unable`](crate::Unable), which makes the
/// case ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disruption {
    /// The server ends in an orderly way.
    Stop,
    /// The server is killed.
    Kill,
    /// The server starts again on the same address, with what it had stored durably.
    Restart,
    /// Every process of the server stops running, and its connections stay.
    Pause,
    /// It runs again.
    Resume,
    /// The links to the server are reset, and new ones refused.
    Cut,
    /// The links stay, and nothing comes through.
    BlackHole,
    /// What comes through comes so much later.
    Delay(Duration),
    /// The links work again.
    Heal,
    /// There is no more room to store anything.
    Fill,
    /// There is room again.
    Empty,
    /// The server refuses to write.
    ReadOnly,
    /// It writes again.
    Writable,
    /// Remembers the present state for [`Restore`](Self::Restore).
    Snapshot,
    /// Brings an older state back, as a backup does.
    Restore,
    /// Everything that was stored is gone, and made anew under the same name.
    Recreate,
    /// Every entry is deleted by hand, the newest too.
    DeleteAll,
    /// The newest entry alone is deleted by hand.
    DeleteNewest,
    /// The server forgets its oldest entries, by a rule of its own such as a length or an age, and not by this framework's
    /// purge. Exactly the newest `keep` stay, or all if there are no more, and what stands in one record with them.
    Trim {
        /// How many stay.
        keep: usize,
    },
    /// A standby takes over.
    FailOver,
}

/// Ends a case whose harness could break something and cannot mend it. It was to: as *ignored* such a case would have
/// proved nothing.
pub(crate) fn mended(mends: Disruption, done: Result<(), Unable>) {
    if let Err(unable) = done {
        panic!(
            "expected {mends:?} of the harness, since it broke what that mends, and found that it cannot: {unable}"
        );
    }
}
