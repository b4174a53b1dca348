//! How long a case may take.

use std::time::Duration;

/// A case that takes longer has failed: it hangs.
pub(crate) const OF_A_CASE: Duration = Duration::from_secs(60);
