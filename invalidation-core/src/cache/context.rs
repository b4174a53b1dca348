//! What a cache knows of its node.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::NodeClock, error::Error, lease::LeaseState, log::LogCapabilities, node::NameClaim,
    target::InvalidationTarget, words::CacheName,
};

/// How a target makes itself known to the node; fails when the name is taken.
pub(crate) type Register = Box<
    dyn FnOnce(
            &CacheName,
            Arc<dyn InvalidationTarget>,
            Option<Duration>,
        ) -> Result<NameClaim, Error>
        + Send,
>;

/// What a cache needs of its node, and nothing more, so that a cache can be tested without one.
pub(crate) struct CacheContext {
    /// The node's clock.
    pub(crate) clock: NodeClock,
    /// The node's lease.
    pub(crate) lease: Arc<LeaseState>,
    /// What the node's log claims; `None` without a log.
    pub(crate) log: Option<LogCapabilities>,
    /// What the operator configured for this cache; it wins over the code.
    pub(crate) settings: super::CacheSettings,
    /// What the operator configured for negative values of every cache: for those that have any.
    pub(crate) default_negative_ttl: Option<Duration>,
    /// Makes the finished cache known, with its `max_staleness` (which sets the poll period).
    pub(crate) register: Register,
}
