//! What invalidations are applied to.

use crate::{error::BoxError, words::Scope};

/// Something on this node that holds values which invalidations concern: a [`Cache`](crate::Cache), or a
/// cache of another library brought in by `Node::attach`.
///
/// # Contract
/// **The target promises the node:** once [`apply`](Self::apply) or [`flush`](Self::flush) returned, no value
/// that it held before is served again, and no load that began before is kept (`P5`; a
/// [`Fence`](crate::Fence) does the second). Both may be called concurrently with everything else, and
/// neither waits for a load.
///
/// **The node promises the target:** an `apply` that fails or panics is followed by a `flush` (`P9`).
pub trait InvalidationTarget: Send + Sync + 'static {
    /// Drops what `scope` covers. A key that does not parse, or a scope that the target does not know, is
    /// either widened here or answered with an error.
    ///
    /// # Errors
    /// Any error makes the node flush the target.
    fn apply(&self, scope: &Scope) -> Result<(), BoxError>;

    /// Drops everything.
    fn flush(&self);

    /// A transaction that will invalidate `scope` is open: keep no load of it until
    /// [`release`](Self::release), since a loader could read the transaction's own uncommitted rows.
    fn quarantine(&self, scope: &Scope) {
        let _ = scope;
    }

    /// One transaction less. Called once for each [`quarantine`](Self::quarantine), with an equal scope, after
    /// the scope was applied.
    fn release(&self, scope: &Scope) {
        let _ = scope;
    }

    /// Called by the node about once a second, off the async workers and off the path of any read: a moment to
    /// drop what is no longer served and to publish gauges. It must not wait.
    fn maintain(&self) {}
}
